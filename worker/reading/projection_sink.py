"""The sink of a projection: changes and checkpoint in one transaction, so that each event takes effect once."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from eventstore import EventStoreError, Position, RecordedEvent, Window
from eventstore.counted import counted
from eventstore.postgres import Prepared, Session
from handlers import Domain, InvalidRow, Projection
from worker.reading.event_failed import EventFailed, failure_of
from worker.reading.followers import Failure
from worker.reading.lease import IDLE_SECONDS, Checkpoint
from worker.reading.names import table_schema
from worker.reading.pending_changes import PendingChanges
from worker.reading.skipped_events import SkippedEvents
from worker.reading.table_sql import writes

__all__ = ["ProjectionSink"]

# How many events are processed before other tasks have their turn on the loop, such as the renewal of leases.
_AT_ONCE = 250
# From how many changes on a batch is written. One more event is added as long as there are fewer.
_MOST_CHANGES = 10_000
# SQLSTATE classes, and one code, that a value or a statement causes. All others are the server's.
_OF_EVENTS = ("21", "22", "23", "2B", "42", "44", "54", "P0", "0A")
_LACKS_RIGHT = "42501"


class ProjectionSink:
    """Writes what a projection derives from events into the tables of a follower.

    Args:
        domain: The domain of the events.
        projection: The projection.
        session: A session with the database of its tables, for this sink alone.
        skipped: The events to skip; by default none.
    """

    def __init__(
        self, domain: Domain, projection: Projection, session: Session, skipped: SkippedEvents | None = None
    ) -> None:
        self._domain = domain
        self._projection = projection
        self._session = session
        self._skipped = skipped or SkippedEvents()

    async def take(self, window: Window, checkpoint: Checkpoint) -> None:
        """Process a window as in ``Sink.take``.

        Raises:
            EventFailed: An event cannot be projected.
            LeaseLost: Another process has the lease.
            EventStoreError: The database cannot be written now, whatever the event.
        """
        await self._take(window.events, window.position, window.head.number, checkpoint)

    async def _take(self, events: Sequence[RecordedEvent], to: Position, head: int, checkpoint: Checkpoint) -> None:
        while True:
            pending, end, failure = await self._made(events)
            if failure is not None:
                if end:  # made anew: they may contain some changes of the event that failed
                    await self._take(events[:end], events[end - 1].position, head, checkpoint)
                raise EventFailed(failure)
            if end == len(events):
                await self._put(pending, events, to, head, checkpoint)
                return
            await self._put(pending, events[:end], events[end - 1].position, head, checkpoint)
            events = events[end:]

    async def _put(
        self,
        pending: PendingChanges,
        events: Sequence[RecordedEvent],
        to: Position,
        head: int,
        checkpoint: Checkpoint,
    ) -> None:
        """Write the changes of events; if the server refuses them, find the event that causes it."""
        try:
            await self._write(pending, to, head, checkpoint)
        except (EventStoreError, InvalidRow) as error:
            if not events or not (isinstance(error, InvalidRow) or _is_of_events(error)):
                raise
            if len(events) == 1:
                raise EventFailed(failure_of(events[0], error)) from error
            middle = len(events) // 2
            await self._take(events[:middle], events[middle - 1].position, head, checkpoint)
            await self._take(events[middle:], to, head, checkpoint)

    async def _made(self, events: Sequence[RecordedEvent]) -> tuple[PendingChanges, int, Failure | None]:
        """Return the changes of a batch, how many events it covers, and the failure of the event after it, if any."""
        pending, domain, projection, skipped = PendingChanges(), self._domain, self._projection, self._skipped
        count = 0
        for place, event in enumerate(events):
            if place % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            if event in skipped:
                continue
            if count >= _MOST_CHANGES:
                return pending, place, None
            try:
                changes = projection.changed_by(domain.projected(event))
                pending.add(changes)
            except Exception as bug:  # noqa: BLE001  any error of a domain's function
                return pending, place, failure_of(event, bug)
            count += len(changes)
        return pending, len(events), None

    async def _write(self, pending: PendingChanges, to: Position, head: int, checkpoint: Checkpoint) -> None:
        batch = list(_written(pending))
        async with self._session.transaction(
            # If the process is frozen, the server ends its transaction, so that another process can go on.
            idle_in_transaction_session_timeout=f"{IDLE_SECONDS}s",
            search_path=f"{table_schema(self._session.schema, checkpoint.follower_id)}, pg_temp",
            # A batch finds its rows by their keys: a plan that was made for small tables must not scan large ones.
            enable_seqscan="off",
            enable_hashjoin="off",
            enable_mergejoin="off",
            jit="off",
        ) as transaction:
            # The server receives all of it before a row is locked: see ``prepare``.
            prepared: dict[str, Prepared] = {}
            move = await checkpoint.prepared(transaction)
            for sql, values in batch:
                if sql not in prepared:
                    prepared[sql] = await transaction.prepare(sql)
                if len(values) != (wanted := prepared[sql].parameters):
                    raise InvalidRow(f"a Statement takes {counted(wanted, 'value')}, and is given {len(values)}: {sql}")
            await checkpoint.move(move, to, head=head)
            for sql, values in batch:
                await prepared[sql].run(*values)
        checkpoint.moved(to)


def _written(pending: PendingChanges) -> Iterator[tuple[str, Sequence[Any]]]:
    """Yield the statements with their values, in order."""
    for step in pending.steps:
        for table, changes in step.tables.items():
            try:
                yield from writes(table, changes)
            except (LookupError, TypeError) as error:
                raise InvalidRow(
                    f"a change of {table.name} lacks a column or a part of the key ({error!r}): make changes by the "
                    "table's methods"
                ) from error
        for statement in step.statements:
            yield statement.sql, statement.values


def _is_of_events(error: EventStoreError) -> bool:
    code = error.code or ""
    # A value that cannot be sent at all has no SQLSTATE.
    if isinstance(error, ValueError):
        return True
    return code.startswith(_OF_EVENTS) and code != _LACKS_RIGHT
