"""Receipt look-ups on the primary."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from eventstore.arguments import check_batch_size
from eventstore.postgres.appends.batch import receipt_of
from eventstore.postgres.reads.reader import Reader
from eventstore.postgres.statements import statement
from eventstore.receipt import Receipt, check_scope

__all__ = ["Receipts"]


class Receipts:
    """The receipts of one store.

    Args:
        reader: Answers the queries.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, key: UUID, *, scope: str = "", digest: bytes | None = None) -> Receipt | None:
        """Answer ``EventStore.receipt``."""
        check_scope(scope)
        rows = await self._reader.rows(statement("receipts"), [key], scope)
        found = next((receipt_of(row) for row in rows if digest is None or row["digest"] == digest), None)
        if found is not None:
            # It may have been committed without its standby, or before a crash that its append's answer did not
            # survive.
            await self._reader.confirm()
        return found

    async def find_many(self, keys: Sequence[UUID], *, scope: str = "") -> dict[UUID, Receipt]:
        """Answer ``EventStore.receipts``."""
        check_scope(scope)
        if not keys:
            return {}
        rows = await self._reader.rows(statement("receipts"), list(keys), scope)
        return {row["key"]: receipt_of(row) for row in rows}

    async def of_key(self, key: UUID) -> list[Receipt]:
        """Answer ``EventStore.receipts_of``."""
        return [receipt_of(row) for row in await self._reader.rows(statement("receipts_of"), key)]

    async def all(self, *, batch_size: int = 1000) -> AsyncIterator[Receipt]:
        """Answer ``EventStore.all_receipts``."""
        check_batch_size(batch_size)
        key: UUID | None = None
        scope: str | None = None
        while True:
            rows = await self._reader.rows(statement("receipts_page"), key, scope, batch_size)
            for row in rows:
                yield receipt_of(row)
            if len(rows) < batch_size:
                return
            key, scope = rows[-1]["key"], rows[-1]["scope"]
