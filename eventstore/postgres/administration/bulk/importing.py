"""Imports: many events at once, in chunks; to concurrent appends, each chunk is an append like any other.

The progress of an import is written in the transaction of each chunk. If the process ends early, the next call
continues after the last recorded chunk.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import monotonic

from eventstore.counted import counted
from eventstore.errors import InvalidRequest, LockNotAcquired
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
# How long an import waits for another one, which may be the end of one that was killed.
_PATIENCE_SECONDS, _REST_SECONDS = 10.0, 0.1


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
    return CheckedImport(records=count, known=own, others=frozenset(each.name for each in files) - {name})


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
        LockNotAcquired: Another process imports a file, and did not end within ten seconds.
        InvalidRequest: The source has changed, or a file was imported that it was not compared with.
        OutcomeUnknown, StoreUnavailable: The connection was lost. Recorded events stay; call again.
        StoreMisconfigured: The role may not import.

    After any error, and if the call is cancelled, recorded events stay, and a later call continues after them.
    """
    async with administrator(
        admin_url, purpose=_PURPOSE, schema=schema, wanted=SessionAttribute.read_write
    ) as connection:
        await _alone(connection)
        known = await known_imports(connection)
        own = _own(known, name)
        if checked is not None:
            _compare(checked, own, known)
        async with Recorder(connection, own, progress) as recorder:
            chunks = _chunks(events, own)
            # In a thread, while the event loop sends the previous chunk.
            while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                await recorder.record(chunk)
        return recorder.state


async def _alone(connection: SchemaConnection) -> None:
    """Take the lock of imports, which the session holds until it ends.

    So it is held while the server still records a chunk of a process that was killed: the next import begins with what
    that one has recorded.
    """
    number = connection.schema.lock(_LOCK)
    deadline = monotonic() + _PATIENCE_SECONDS
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", number):
        if monotonic() >= deadline:
            raise LockNotAcquired("another process imports a file: wait for its end, then try again")
        await asyncio.sleep(_REST_SECONDS)


def _compare(checked: CheckedImport, own: Import, known: Iterable[Import]) -> None:
    """Refuse a source if the imports that it was compared with are no longer all."""
    names = {each.name for each in known if each.kind == FILE and each.records > 0} - {own.name}
    if not own.records and (unknown := names - checked.others):
        raise InvalidRequest(
            f"{min(unknown)} was imported meanwhile, which may be the same file: run this again, to have them compared"
        )


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
