"""Recording: chunks go into the log one after the other, each with the progress of its import."""

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
# SQLSTATEs of ``import_v1``: another process was faster, and the store has other events.
_RACED, _HAS_OTHERS = "ES005", "ES006"


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """The progress of an import, as the database records it.

    Attributes:
        kind: The kind of import: ``file`` or ``adoption``.
        name: The name of the import.
        records: The number of the source's records that are recorded.
        digest: The digest of these records, if the source is a file; otherwise None.
        source_number: The number of the last recorded event in its source, if that is a table; otherwise None.
        first: The sequence number of its first event; 0 while it has none.
        last: The sequence number of its last event; 0 while it has none. Events of other appends may lie in between.
    """

    kind: str
    name: str
    records: int = 0
    digest: bytes | None = None
    source_number: int | None = None
    first: int = 0
    last: int = 0


async def known_imports(connection: SchemaConnection) -> list[Import]:
    """List the imports of a store, with their progress.

    Raises:
        EventStoreError: The statement failed, as ``translate`` classifies it.
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
    """Records chunks in order, each while the caller builds the next. An ``async with`` block waits for the last one.

    Args:
        connection: The connection that chunks are recorded on.
        state: The import's progress at the beginning.
        progress: Called with the number of records that are recorded.

    Attributes:
        state: The import's present progress.
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
            # The original error matters more than the outcome of the running chunk.
            self._under_way.cancel()
            with suppress(BaseException):
                await self._under_way

    async def record(self, chunk: Chunk) -> None:
        """Start recording a chunk, once the one before it is recorded.

        Raises:
            EventStoreError: The chunk before could not be recorded.
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
        return InvalidRequest(f"another process is running the same {state.kind} import: wait for its end", code=code)
    if code == _HAS_OTHERS:
        return InvalidRequest(NOT_ALONE, code=code)
    return translate(error, schema)
