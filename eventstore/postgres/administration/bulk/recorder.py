"""Recording: chunks go into the log one after the other, each with the note of how far its import has come."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from eventstore.errors import EventStoreError, InvalidRequest
from eventstore.postgres.administration.bulk.chunk import Chunk
from eventstore.postgres.arrays import json_array, moment_array, name_array
from eventstore.postgres.connections.confirmation import confirmed
from eventstore.postgres.connections.translation import DRIVER_ERRORS, translate
from eventstore.postgres.drivers.asyncpg import SchemaConnection
from eventstore.postgres.drivers.errors import sqlstate_of
from eventstore.postgres.schema import Schema
from eventstore.postgres.statements import statement

__all__ = ["ADOPTION", "FILE", "NOT_ALONE", "Import", "Recorder", "known_imports"]

FILE, ADOPTION = "file", "adoption"
"""The kinds of imports."""
NOT_ALONE = (
    "the store has events that are not of this adoption, so that the table's cannot be the beginning of its log: adopt "
    "into an empty store"
)
# SQLSTATEs of ``import_v1``.
_RACED, _HAS_OTHERS = "ES005", "ES006"


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """How far an import has come, as the database knows it.

    Attributes:
        kind: ``file`` or ``adoption``.
        name: Which one.
        records: How many of its source's records are recorded.
        digest: What they add up to, if its source is a file.
        source_number: The last one's number in its source, if that is a table.
        first: The number of its first event; 0 as long as it has none.
        last: The number of its last event. Others may lie between them.
    """

    kind: str
    name: str
    records: int = 0
    digest: bytes | None = None
    source_number: int | None = None
    first: int = 0
    last: int = 0


async def known_imports(connection: SchemaConnection) -> list[Import]:
    """Tell what was imported.

    Raises:
        EventStoreError: As ``translate`` says.
    """
    try:
        rows = await connection.fetch(statement("imports"))
    except DRIVER_ERRORS as error:
        raise translate(error, connection.schema) from error
    return [
        Import(
            kind=row["kind"],
            name=row["name"],
            records=row["records"],
            digest=row["digest"],
            source_number=row["source_number"],
            first=row["first_number"],
            last=row["last_number"],
        )
        for row in rows
    ]


class Recorder:
    """Records chunks, one after the other, while the caller makes the next one. An ``async with`` waits for the last.

    Args:
        connection: On which they are recorded.
        state: How far the import has come.
        progress: Is told how many records are recorded.

    Attributes:
        state: How far it has come by now.
    """

    def __init__(self, connection: SchemaConnection, state: Import, progress: Callable[[int], None]) -> None:
        self.state = state
        self._connection = connection
        self._progress = progress
        self._under_way: asyncio.Task[Import] | None = None

    async def __aenter__(self) -> Self:
        self._progress(self.state.records)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            await self._finished()
        elif self._under_way is not None:
            # What failed is worth more than what becomes of the chunk that was under way.
            self._under_way.cancel()
            with suppress(BaseException):
                await self._under_way

    async def record(self, chunk: Chunk) -> None:
        """Begin to record a chunk, once the one before it is recorded.

        Raises:
            EventStoreError: The one before it could not be recorded.
        """
        await self._finished()
        self._under_way = asyncio.create_task(self._record(chunk, self.state))
        await asyncio.sleep(0)

    async def _finished(self) -> None:
        if self._under_way is not None:
            under_way, self._under_way = self._under_way, None
            self.state = await under_way
            self._progress(self.state.records)

    async def _record(self, chunk: Chunk, before: Import) -> Import:
        events = chunk.events
        try:
            with confirmed(self._connection):
                (row,) = await self._connection.fetch(
                    statement("import"),
                    before.kind,
                    before.name,
                    before.records,
                    chunk.digest,
                    chunk.source_number,
                    name_array([event.type for event in events]),
                    moment_array([event.occurred_at for event in events]),
                    json_array([event.payload_text for event in events]),
                    json_array([event.metadata_text for event in events]),
                )
        except DRIVER_ERRORS as error:
            raise _translated(error, before, self._connection.schema) from error
        return Import(
            kind=before.kind,
            name=before.name,
            records=before.records + len(events),
            digest=chunk.digest,
            source_number=chunk.source_number,
            first=before.first or row["first_number"],
            last=row["last_number"],
        )


def _translated(error: BaseException, state: Import, schema: Schema) -> EventStoreError:
    code = sqlstate_of(error)
    if code == _RACED:
        return InvalidRequest(f"another process goes on with the same {state.kind} import: wait for its end", code=code)
    if code == _HAS_OTHERS:
        return InvalidRequest(NOT_ALONE, code=code)
    return translate(error, schema)
