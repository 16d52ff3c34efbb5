"""The run of a follower: follows the log through every interruption, as long as this process has the lease."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from eventstore import EventStore, EventStoreError, HistoryDiverged, Position
from eventstore.backoff import Backoff
from eventstore.postgres import Session, Transaction
from worker.errors import BrokerError, FollowerError
from worker.reading.complaints import complaint
from worker.reading.event_failed import EventFailed
from worker.reading.followed import Followed
from worker.reading.follower import Follower, Progress
from worker.reading.followers import Failure, FollowerRow, Followers
from worker.reading.lease import Checkpoint, LeaseLost
from worker.reading.metrics import Figures
from worker.reading.skipped_events import SkippedEvents

if TYPE_CHECKING:  # it needs the AMQP library, which readers do not need
    from worker.reading.outlet import BrokerConnections

__all__ = ["FIRST_REST", "LONGEST_REST", "FollowerRun"]

_log = logging.getLogger(__name__)

FIRST_REST, LONGEST_REST = 0.5, 5.0
"""The first and the longest delay before a failed run is tried again, in seconds."""


class _Stopped(Exception):
    """Raised when a follower is stopped until a person sets a position to go on from."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error)
        self.failure = failure


class FollowerRun:
    """A follower that this process holds the lease of.

    Args:
        declared: The projection, reaction or relay.
        row: The follower's row.
        fence: The lease's fencing number.
        store: The event store whose log is followed.
        target: Returns a new session with the database of checkpoint and tables.
        outlet: The connections to the broker; None if nothing is sent.

    Attributes:
        row: The follower's row when it was last read.
        fence: The lease's fencing number.
        progress: The follower's progress.
        failure: The event that stopped it; None if none has.
        trouble: Why it waits, if no event is the cause; None if it does not.
    """

    def __init__(
        self,
        declared: Followed,
        row: FollowerRow,
        fence: int,
        *,
        store: EventStore,
        target: Callable[[], Session],
        outlet: "BrokerConnections | None",
    ) -> None:
        self.row = row
        self.fence = fence
        self.progress = Progress()
        self.failure: Failure | None = None
        self.trouble: str | None = None
        self._declared = declared
        self._store = store
        self._target = target
        self._outlet = outlet
        # The highest position at which this process has seen the checkpoint.
        self._reached: Position | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether it follows the log, or waits to do so again."""
        return self._task is not None

    @property
    def told(self) -> str | None:
        """What prevents it from going on, in a sentence; None if nothing does."""
        if (failure := self.failure) is not None:
            # Without a type it is not an event, but the whole log.
            by = f" by event {failure.number}" if failure.event_type else ""
            return f"{self.row.name} is stopped{by}: {failure.error}"
        return None if self.trouble is None else f"{self.row.name}: {self.trouble}"

    def figures(self) -> Figures:
        """Return its figures, for metrics."""
        return Figures(
            kind=self.row.name.kind,
            name=str(self.row.name),
            version=self.row.version,
            events=self.progress.events,
            number=self.progress.number,
            head=self.progress.head,
            behind_seconds=self.progress.behind_seconds,
            is_stopped=self.failure is not None,
        )

    def start(self) -> None:
        """Begin to follow, until an event stops it or the lease is lost."""
        self.failure = None
        self._task = asyncio.create_task(self._run(), name=f"{self.row.name.kind} {self.row.name}")

    def cancel(self) -> "asyncio.Task[None] | None":
        """Cancel it and roll back what is in progress; return its task, or None if it had ended."""
        if self._task is not None:
            self._task.cancel()
        return self._task

    async def promote(self, session: Session) -> bool:
        """Replace the current follower by this one if it has caught up; return whether that was done."""
        row = self.row
        try:
            is_promoted = await self._declared.promote(session, row.follower_id, self.fence)
            self.trouble = None
        except FollowerError as error:
            self.trouble = str(error)
        except EventStoreError as error:
            _log.warning("%s: the rebuilt tables cannot replace the present ones yet: %s", row.name, error)
        else:
            if is_promoted:
                _log.info("%s: readers now read the rebuilt tables, version %d", row.name, row.version)
            return is_promoted
        return False

    async def _run(self) -> None:
        session = self._target()
        backoff = Backoff(first=FIRST_REST, longest=LONGEST_REST)
        try:
            while True:
                before = self.progress.events, self._reached
                try:
                    await self._follow(session)
                except _Stopped as stopped:
                    self.failure = stopped.failure
                    return  # the row says why, and it was logged when it happened
                except EventFailed as failed:
                    self.failure = failed.failure
                    _log.error("%s: stopped: %s", self.row.name, failed)
                    return
                except LeaseLost:
                    return  # the next tick of the coordinator finds out why
                except HistoryDiverged as error:
                    await self._diverged(session, error)
                    return
                except (EventStoreError, BrokerError) as error:
                    if (self.progress.events, self._reached) != before:
                        backoff.reset()
                    told = complaint(error, session.schema) if isinstance(error, EventStoreError) else error
                    self.trouble = str(told)
                    _log.warning("%s: waiting to try again: %s", self.row.name, self.trouble)
                    await backoff.rest()
                except Exception:  # noqa: BLE001  a bug: logged with its traceback, and retried like a temporary failure
                    self.trouble = "it failed with an unexpected error; its log has the traceback"
                    _log.exception("%s: failed", self.row.name)
                    await backoff.rest()
        finally:
            self._task = None
            await session.close()

    async def _follow(self, session: Session) -> None:
        declared, row = self._declared, self.row
        async with session.transaction() as transaction:
            # It may not be known whether the last commit succeeded: the row tells.
            now = await self._on_record(transaction)
            skipped = await Followers(transaction).skipped(row.name, row.version)
        if now is None or now.fence != self.fence:
            raise LeaseLost
        if declared.is_final and now.failure is not None and now.diverged_from is not None:
            raise _Stopped(now.failure)
        if declared.is_final and self._reached is not None and now.position.number < self._reached.number:
            # After a failover, the database lacks the last checkpoints, and perhaps events.
            raise HistoryDiverged(f"position {self._reached} was lost with the checkpoint")
        self.trouble = None
        checkpoint = Checkpoint(now, self.fence)
        sink = declared.sink(session, SkippedEvents(skipped), self._outlet)
        try:
            await Follower(self._store, declared.events, sink, checkpoint, self.progress).run()
        except EventFailed as failed:
            async with session.transaction() as transaction:
                if not await Followers(transaction).fail(row.follower_id, self.fence, failed.failure):
                    raise LeaseLost from failed
            raise
        finally:
            self._reached = checkpoint.position
            self.progress.number = checkpoint.position.number  # it may lie within the last window

    async def _diverged(self, session: Session, error: HistoryDiverged) -> None:
        self.trouble = "the log was rewritten at or before its position"
        with suppress(EventStoreError):  # if the database cannot be written now, the next start finds it again
            async with session.transaction() as transaction:
                row = await self._on_record(transaction) or self.row
            failure = await self._declared.diverged(session, self._store, row, self.fence, error)
            if failure is not None:
                self.failure = failure
                _log.error("%s: stopped: %s", row.name, failure.error)

    async def _on_record(self, transaction: Transaction) -> FollowerRow | None:
        rows = await Followers(transaction).of(self.row.name)
        return next((each for each in rows if each.follower_id == self.row.follower_id), None)
