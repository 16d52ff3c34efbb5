"""Adoption: copies the events of another store's table as the beginning of this log, with new gapless numbers.

Each event keeps its old number in its metadata. The adoption continues from it after an interruption, and compares the
copy with the table, event by event.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from eventstore.counted import counted
from eventstore.errors import InvalidEvent, InvalidRequest
from eventstore.event_file import NUMBER_FIELD, event_of_record
from eventstore.events import Event
from eventstore.postgres.administration.administrator import administrator, transaction
from eventstore.postgres.administration.bulk.adoption_source import AdoptionSource, SourceSum
from eventstore.postgres.administration.bulk.chunk import Chunk, ChunkBuilder
from eventstore.postgres.administration.bulk.recorder import ADOPTION, NOT_ALONE, Import, Recorder, known_imports
from eventstore.postgres.connections.dialing import SessionAttribute
from eventstore.postgres.connections.translation import DRIVER_ERRORS, translate
from eventstore.postgres.drivers.asyncpg import SchemaConnection
from eventstore.postgres.statements import statement
from eventstore.schema_name import DEFAULT_SCHEMA

__all__ = ["Adoption", "adopt"]

_PURPOSE = "worker db adopt"
# A store has at most one adoption, and it begins the log.
_NAME = "table"
# Below every number that a table can have.
_BEFORE_ALL = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What an adoption did, or would do.

    Attributes:
        table: The number of events in the table.
        before: The number of events that were adopted before.
        adopted: The number of events that are adopted now.
        sum: The checksum of the events, equal here and in the table; None for a dry run.
        dry_run: Whether the table was only read.
    """

    table: int
    before: int
    adopted: int
    sum: str | None
    dry_run: bool


async def adopt(
    admin_url: str,
    source_url: str,
    *,
    schema: str = DEFAULT_SCHEMA,
    table: str = "events",
    number_field: str = NUMBER_FIELD,
    dry_run: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Adoption:
    """Copy the events of a table, from the first or from where an earlier call ended, and compare the copies.

    Until it is done, nothing else may append to this store. The table may grow meanwhile: call again for its new
    events.

    Args:
        admin_url: The database URL of the primary, with the role that owns the schema.
        source_url: The database URL of the server with the table.
        schema: The schema of this store.
        table: The name of the table, with its schema if needed; by default ``events``.
        number_field: The metadata field that keeps an event's number in the table.
        dry_run: Only read the table, and check that each event can be recorded; by default False.
        progress: Called with the number of events copied so far, and the total.

    Raises:
        InvalidRequest: The store has other events, the adopted events differ from the table, or the table cannot be
            read or is no table of events.
        InvalidEvent: An event of the table cannot be recorded; the message has its number.
        StoreUnavailable: The connection was lost. Recorded events stay; call again.
        StoreMisconfigured: The role may not adopt.

    After any error, and if the call is cancelled, recorded events stay, and a later call continues after them.
    """
    async with (
        administrator(admin_url, purpose=_PURPOSE, schema=schema, wanted=SessionAttribute.read_write) as target,
        AdoptionSource.open(source_url, table) as source,
    ):
        known = await known_imports(target)
        own = next((each for each in known if each.kind == ADOPTION), Import(kind=ADOPTION, name=_NAME))
        await _check_alone(target, own)
        before = await _compared(target, source, own, number_field)
        copying = _Copying(number_field, before, progress)
        if dry_run:
            await source.copy(_above(own), copying.look)
            return Adoption(
                table=before.events + before.newer, before=own.records, adopted=own.records, sum=None, dry_run=True
            )
        async with Recorder(target, own, copying.done) as recorder:
            await source.copy(_above(own), copying.into(recorder))
            if (rest := copying.rest()) is not None:
                await recorder.record(rest)
        found = await _compared(target, source, recorder.state, number_field)
    return Adoption(
        table=found.events + found.newer,
        before=own.records,
        adopted=recorder.state.records,
        sum=found.sum,
        dry_run=False,
    )


class _Copying:
    """Converts the events of a table into chunks."""

    def __init__(self, number_field: str, before: SourceSum, progress: Callable[[int, int], None]) -> None:
        self._number_field = number_field
        self._total = before.events + before.newer
        self._looked_at = before.events
        self._progress = progress
        self._builder = ChunkBuilder()
        self._last = _BEFORE_ALL

    def done(self, count: int) -> None:
        self._progress(count, self._total)

    async def look(self, records: Sequence[dict[str, Any]]) -> None:
        for record in records:
            self._event(record)
        self._looked_at += len(records)
        self.done(self._looked_at)

    def into(self, recorder: Recorder) -> Callable[[Sequence[dict[str, Any]]], Any]:
        async def take(records: Sequence[dict[str, Any]]) -> None:
            for record in records:
                full = self._builder.add(self._event(record))
                self._last = record["sequence_number"]
                if full and (chunk := self.rest()) is not None:
                    await recorder.record(chunk)

        return take

    def rest(self) -> Chunk | None:
        events = self._builder.take()
        return Chunk(events=events, source_number=self._last) if events else None

    def _event(self, record: dict[str, Any]) -> Event:
        try:
            return event_of_record(record, self._number_field)
        except InvalidEvent as error:
            raise InvalidEvent(f"event {record['sequence_number']} of the table cannot be recorded: {error}") from error


def _above(own: Import) -> int:
    return _BEFORE_ALL if own.source_number is None else own.source_number


async def _check_alone(target: SchemaConnection, own: Import) -> None:
    (row,) = await target.fetch(statement("head"))
    if row["sequence_number"] != own.last:
        raise InvalidRequest(NOT_ALONE)
    if archived := await target.fetch(statement("archives")):
        raise InvalidRequest(
            f"events 1 to {archived[0]['last_number']:,} of what was adopted are archived, so that it cannot be "
            "compared with the table: bring them back with `worker db restore-archive`, then adopt again"
        )


async def _compared(target: SchemaConnection, source: AdoptionSource, own: Import, number_field: str) -> SourceSum:
    """Compare the adopted events with the table, up to the last adopted one.

    Raises:
        InvalidRequest: The adopted events differ from those of the table.
    """
    there = await source.added_up(_above(own))
    try:
        async with transaction(target, readonly=True):
            await target.execute("SET LOCAL TIME ZONE 'UTC'")
            (here,) = await target.fetch(statement("adopted_sum"), number_field, own.first, own.last)
    except DRIVER_ERRORS as error:
        raise translate(error, target.schema) from error
    if (here["events"], here["sum"]) == (there.events, there.sum) and here["events"] == own.records:
        return there
    if own.source_number is None:
        raise InvalidRequest(
            f"the table has {counted(there.events, 'event')} with a negative number, which no event of a log has: give "
            "each another number"
        )
    if here["events"] != there.events:
        raise InvalidRequest(
            f"the table has {counted(there.events, 'event')} up to its number {own.source_number}, and "
            f"{here['events']:,} of them were adopted: one with a lower number was added or removed since. Stop what "
            "appends to it, and adopt into an empty store"
        )
    raise InvalidRequest(
        f"what was adopted ({counted(here['events'], 'event')}) is not what the table has up to its number "
        f"{own.source_number}: name the table, and the --number-field, that the adoption began with"
    )
