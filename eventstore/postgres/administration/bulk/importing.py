"""Imports: many events at once, in chunks, each an append like any other to whoever appends beside it.

How far an import has come is written in the transaction of each chunk. Whatever ends the process, the next one goes on
behind the last chunk that is recorded.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from eventstore.counted import counted
from eventstore.errors import InvalidRequest
from eventstore.events import Event
from eventstore.postgres.administration.administrator import administrator
from eventstore.postgres.administration.bulk.chunk import Chunk, ChunkBuilder, RunningDigest
from eventstore.postgres.administration.bulk.recorder import FILE, Import, Recorder, known_imports
from eventstore.postgres.connections.dialing import SessionAttribute
from eventstore.schema_name import DEFAULT_SCHEMA

__all__ = ["CheckedImport", "check_import", "find_imports", "import_events"]

_PURPOSE = "worker db import"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedImport:
    """A source in which every record is an event.

    Attributes:
        records: How many it has.
        known: How far its import has come.
    """

    records: int
    known: Import


async def find_imports(admin_url: str, *, schema: str = DEFAULT_SCHEMA, purpose: str = _PURPOSE) -> list[Import]:
    """Tell what was imported.

    Raises:
        StoreUnavailable: The server cannot be reached.
        StoreMisconfigured: The address, the credentials or the rights do not suffice, or there is no event store.
    """
    async with administrator(
        admin_url, purpose=purpose, schema=schema, wanted=SessionAttribute.read_write
    ) as connection:
        return await known_imports(connection)


def check_import(events: Iterable[Event], known: Iterable[Import], *, name: str) -> CheckedImport:
    """Look at all of a source before the first of its events is recorded: none can be taken back.

    Args:
        events: The source, from its beginning.
        known: What was imported.
        name: The import's.

    Raises:
        InvalidRequest: It does not begin with what was imported under the name; or was imported under another one. As
            well as what the source raises of a record that is no event.
    """
    files = [each for each in known if each.kind == FILE and each.records > 0]
    own = next((each for each in files if each.name == name), Import(kind=FILE, name=name))
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
            f"it does not begin with what was imported as {name} ({counted(own.records, 'record')}): give the file as "
            "it was then, whatever follows them, or another --name"
        )
    if same_as is not None and not own.records:
        raise InvalidRequest(f"its first records were imported already, as {same_as}: to go on, pass --name {same_as}")
    return CheckedImport(records=count, known=own)


async def import_events(
    admin_url: str,
    events: Iterable[Event],
    *,
    name: str,
    schema: str = DEFAULT_SCHEMA,
    progress: Callable[[int], None] = lambda _: None,
) -> Import:
    """Record the events of a source that are not recorded yet, behind whatever the log holds by then.

    Others append meanwhile; each of them is judged by what was imported before it, as by any other event.

    Args:
        admin_url: The address of the primary, with the role that owns the schema.
        events: The source, from its beginning, as ``check_import`` has looked at it.
        name: The import's: what goes on with it has the same.
        schema: The store's.
        progress: Is told how many records are recorded, first those of an earlier call.

    Returns:
        How far the import has come: to the source's end.

    Raises:
        InvalidRequest: Another process goes on with the same import, or the source has changed.
        OutcomeUnknown, StoreUnavailable: The connection was lost. What was recorded stays: import again.
        StoreMisconfigured: The role may not import.

    On cancellation and after any error, what was recorded stays, and is known.
    """
    async with administrator(
        admin_url, purpose=_PURPOSE, schema=schema, wanted=SessionAttribute.read_write
    ) as connection:
        known = await known_imports(connection)
        own = next((each for each in known if (each.kind, each.name) == (FILE, name)), Import(kind=FILE, name=name))
        async with Recorder(connection, own, progress) as recorder:
            chunks = _chunks(events, own)
            # Made in a thread: the loop has the chunk before it to send.
            while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                await recorder.record(chunk)
        return recorder.state


def _chunks(events: Iterable[Event], known: Import) -> Iterator[Chunk]:
    digest = RunningDigest()
    iterator = iter(events)
    for _ in range(known.records):
        if (event := next(iterator, None)) is None:
            break
        digest.add(event)
    if known.records and digest.value() != known.digest:
        raise InvalidRequest("the file has changed while it was imported: what is recorded stays, and is known")
    builder = ChunkBuilder()
    for event in iterator:
        digest.add(event)
        if builder.add(event):
            yield Chunk(events=builder.take(), digest=digest.value())
    if rest := builder.take():
        yield Chunk(events=rest, digest=digest.value())
