"""Imports: many events at once, in chunks; to concurrent appends, each chunk is an append like any other.

The progress of an import is written in the transaction of each chunk. If the process ends early, the next call
continues after the last recorded chunk.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from eventstore.counted import counted
from eventstore.errors import InvalidRequest
from eventstore.events import Event
from eventstore.postgres.administration.administrator import administrator
from eventstore.postgres.administration.bulk.chunk import Chunk, ChunkBuilder, RunningDigest
from eventstore.postgres.administration.bulk.recorder import FILE, Import, Recorder, known_imports
from eventstore.postgres.connections.dialing import SessionAttribute
from eventstore.postgres.drivers.asyncpg import SchemaConnection
from eventstore.schema_name import DEFAULT_SCHEMA

__all__ = ["CheckedImport", "check_import", "find_imports", "import_events"]

_PURPOSE = "worker db import"
# Any number that nothing else in this database uses for an advisory lock.
_LOCK = 4_715_018_260_310_018


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedImport:
    """A source in which every record is a valid event.

    Attributes:
        records: The number of records in the source.
        known: The recorded progress of its import.
        others: The names of the other imports of files that it was compared with.
    """

    records: int
    known: Import
    others: frozenset[str] = frozenset()


async def find_imports(admin_url: str, *, schema: str = DEFAULT_SCHEMA, purpose: str = _PURPOSE) -> list[Import]:
    """List the imports of a store, with their progress.

    Raises:
        StoreUnavailable: The server cannot be reached.
        StoreMisconfigured: The address, credentials or privileges do not suffice, or there is no event store.
    """
    async with administrator(
        admin_url, purpose=purpose, schema=schema, wanted=SessionAttribute.read_write
    ) as connection:
        return await known_imports(connection)


def check_import(events: Iterable[Event], known: Iterable[Import], *, name: str) -> CheckedImport:
    """Check a whole source before its first event is recorded: recorded events cannot be taken back.

    Args:
        events: The events of the source, from its beginning.
        known: The imports of the store, from ``find_imports``.
        name: The name of the import.

    Raises:
        InvalidRequest: The source does not begin with the records that were imported under the name, or they were
            imported under another name. An invalid record raises the source's own error.
    """
    files = [each for each in known if each.kind == FILE and each.records > 0]
    own = _own(files, name)
    others = {(each.records, each.digest): each.name for each in files if each is not own}
    waiting = {records for records, _ in others} | {own.records} - {0}
    digest = RunningDigest()
    count = 0
    same_as: str | None = None
    for event in events:
        digest.add(event)
        count += 1
        if count in waiting:
            if count == own.records and digest.value() != own.digest:
                break
            same_as = others.get((count, digest.value()), same_as)
    if own.records and (count < own.records or (count == own.records and digest.value() != own.digest)):
        raise InvalidRequest(
            f"it does not begin with the records that were imported as {name} ({counted(own.records, 'record')}): "
            "give the file with these records at its beginning, or another --name"
        )
    if same_as is not None and not own.records:
        raise InvalidRequest(
            f"its first records were imported already, as {same_as}: to continue, pass --name {same_as}"
        )
    return CheckedImport(records=count, known=own, others=frozenset(others.values()))


async def import_events(
    admin_url: str,
    events: Iterable[Event],
    *,
    name: str,
    schema: str = DEFAULT_SCHEMA,
    checked: CheckedImport | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Import:
    """Record the events of a source that are not recorded yet, at the end of the log.

    Concurrent appends go on; their boundaries are checked against imported events like any others.

    Args:
        admin_url: The database URL of the primary, with the role that owns the schema.
        events: The events of the source, from its beginning, after ``check_import``.
        name: The name of the import; a later call that continues it uses the same name.
        schema: The schema of the store.
        checked: The result of ``check_import``. With it, the source is refused if an import of another name has begun
            since: it may be the same file. None, the default, for no such comparison.
        progress: Called with the number of records that are recorded, beginning with those of earlier calls.

    Returns:
        The progress of the import, which has reached the end of the source.

    Raises:
        InvalidRequest: Another process continues the same import, or the source has changed; or a file was imported
            that the source was not compared with.
        OutcomeUnknown, StoreUnavailable: The connection was lost. Recorded events stay; call again.
        StoreMisconfigured: The role may not import.

    After any error, and if the call is cancelled, recorded events stay, and a later call continues after them.
    """
    async with administrator(
        admin_url, purpose=_PURPOSE, schema=schema, wanted=SessionAttribute.read_write
    ) as connection:
        own = _own(await known_imports(connection), name)
        async with Recorder(connection, own, progress) as recorder:
            chunks = _chunks(events, own)
            # In a thread, while the event loop sends the previous chunk.
            chunk = await asyncio.to_thread(next, chunks, None)
            if chunk is not None and not own.records:
                async with _beginning(connection, name, checked):
                    await recorder.record(chunk)
                    await recorder.recorded()
                chunk = await asyncio.to_thread(next, chunks, None)
            while chunk is not None:
                await recorder.record(chunk)
                chunk = await asyncio.to_thread(next, chunks, None)
        return recorder.state


@asynccontextmanager
async def _beginning(connection: SchemaConnection, name: str, checked: CheckedImport | None) -> AsyncIterator[None]:
    """Let one import at a time begin: the next one sees in the database what this one has recorded.

    The session holds the lock, so that it stays held while the server still runs a chunk of a process that was killed.
    """
    number = connection.schema.lock(_LOCK)
    await connection.fetchval("SELECT pg_advisory_lock($1)", number)
    known = await known_imports(connection)
    if _own(known, name).records:
        raise InvalidRequest(f"another process is running the same {FILE} import: wait for its end")
    names = {each.name for each in known if each.kind == FILE and each.records > 0}
    if checked is not None and (unknown := names - checked.others):
        raise InvalidRequest(
            f"{min(unknown)} was imported meanwhile, which may be the same file: run this again, to have them compared"
        )
    yield
    await connection.fetchval("SELECT pg_advisory_unlock($1)", number)


def _own(known: Iterable[Import], name: str) -> Import:
    return next((each for each in known if (each.kind, each.name) == (FILE, name)), Import(kind=FILE, name=name))


def _chunks(events: Iterable[Event], known: Import) -> Iterator[Chunk]:
    digest = RunningDigest()
    iterator = iter(events)
    for _ in range(known.records):
        if (event := next(iterator, None)) is None:
            break
        digest.add(event)
    if known.records and digest.value() != known.digest:
        raise InvalidRequest(
            "the file changed while it was imported: its recorded events stay, and are not imported again"
        )
    builder = ChunkBuilder()
    for event in iterator:
        digest.add(event)
        if builder.add(event):
            yield Chunk(events=builder.take(), digest=digest.value())
    if rest := builder.take():
        yield Chunk(events=rest, digest=digest.value())
