"""The run of a follower: it follows, through every interruption, as long as this process has the lease."""

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

if TYPE_CHECKING:  # it needs the broker's library, and who only asks does not
    from worker.reading.outlet import Outlet

__all__ = ["FIRST_REST", "LONGEST_REST", "FollowerRun"]

_log = logging.getLogger(__name__)

FIRST_REST, LONGEST_REST = 0.5, 5.0
"""For how long, in seconds, what cannot go on rests before it is tried again."""


class _Stopped(Exception):
    """Raised where a follower is stopped until a person says where it goes on."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error)
        self.failure = failure


class FollowerRun:
    """A follower that this process has the lease of.

    Args:
        declared: What it is of.
        row: As it is on record.
        fence: The lease's number.
        store: The log.
        target: Makes a session with the database of the checkpoint, and of the tables.
        outlet: The way to the broker; None where nothing is sent.

    Attributes:
        row: As it was on record when it was last looked at.
        fence: The same.
        progress: How far it has come.
        failure: The event that stopped it.
        trouble: Why it rests, where no event is to blame.
    """

    def __init__(
        self,
        declared: Followed,
        row: FollowerRow,
        fence: int,
        *,
        store: EventStore,
        target: Callable[[], Session],
        outlet: "Outlet | None",
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
        # How far its checkpoint was known to be, by this process.
        self._reached: Position | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether it follows, or rests before it does again."""
        return self._task is not None

    @property
    def told(self) -> str | None:
        """What keeps it from going on, in a sentence; None where nothing does."""
        if (failure := self.failure) is not None:
            # Without a type, it is no event but the whole log.
            by = f" by event {failure.number}" if failure.event_type else ""
            return f"{self.row.name} is stopped{by}: {failure.error}"
        return None if self.trouble is None else f"{self.row.name}: {self.trouble}"

    def figures(self) -> Figures:
        """Return what is observed of it."""
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
        """Follow, until an event stops it or the lease is lost."""
        self.failure = None
        self._task = asyncio.create_task(self._run(), name=f"{self.row.name.kind} {self.row.name}")

    def cancel(self) -> "asyncio.Task[None] | None":
        """Have it end, with what is under way rolled back; return what ends then, if it had not."""
        if self._task is not None:
            self._task.cancel()
        return self._task

    async def promote(self, session: Session) -> bool:
        """Have it take the place of the one before it, if it may already; return whether it has."""
        row = self.row
        try:
            is_promoted = await self._declared.promote(session, row.follower_id, self.fence)
            self.trouble = None
        except FollowerError as error:
            self.trouble = str(error)
        except EventStoreError as error:
            _log.warning("%s: what was built anew cannot take its place yet: %s", row.name, error)
        else:
            if is_promoted:
                _log.info("%s: readers read what was built anew, version %d", row.name, row.version)
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
                    return  # the row says why, and a person had it in the log when it happened
                except EventFailed as failed:
                    self.failure = failed.failure
                    _log.error("%s: stopped: %s", self.row.name, failed)
                    return
                except LeaseLost:
                    return  # the next look at the leases sees why
                except HistoryDiverged as error:
                    await self._diverged(session, error)
                    return
                except (EventStoreError, BrokerError) as error:
                    if (self.progress.events, self._reached) != before:
                        backoff.reset()
                    told = complaint(error, session.schema) if isinstance(error, EventStoreError) else error
                    self.trouble = str(told)
                    _log.warning("%s: rests: %s", self.row.name, self.trouble)
                    await backoff.rest()
                except Exception:  # noqa: BLE001  a bug of ours: said with its trace, and tried again like what passes
                    self.trouble = "it failed in a way that this program does not know; its log has the trace"
                    _log.exception("%s: failed", self.row.name)
                    await backoff.rest()
        finally:
            self._task = None
            await session.close()

    async def _follow(self, session: Session) -> None:
        declared, row = self._declared, self.row
        async with session.transaction() as transaction:
            # What was committed last may not be known: the row tells.
            now = await self._on_record(transaction)
            skipped = await Followers(transaction).skipped(row.name, row.version)
        if now is None or now.fence != self.fence:
            raise LeaseLost
        if declared.is_final and now.failure is not None and now.diverged_from is not None:
            raise _Stopped(now.failure)
        if declared.is_final and self._reached is not None and now.position.number < self._reached.number:
            # The database that was failed over to lacks the last checkpoints, and with them perhaps events.
            raise HistoryDiverged(f"position {self._reached} was lost with the checkpoint")
        self.trouble = None
        checkpoint = Checkpoint(now, self.fence)
        sink = declared.sink(session, [each.number for each in skipped], self._outlet)
        try:
            await Follower(self._store, declared.events, sink, checkpoint, self.progress).run()
        except EventFailed as failed:
            async with session.transaction() as transaction:
                if not await Followers(transaction).fail(row.follower_id, self.fence, failed.failure):
                    raise LeaseLost from failed
            raise
        finally:
            self._reached = checkpoint.position

    async def _diverged(self, session: Session, error: HistoryDiverged) -> None:
        self.trouble = "the log was rewritten behind it"
        with suppress(EventStoreError):  # where the database does not take it now, the next start finds it again
            async with session.transaction() as transaction:
                row = await self._on_record(transaction) or self.row
            failure = await self._declared.diverged(session, self._store, row, self.fence, error)
            if failure is not None:
                self.failure = failure
                _log.error("%s: stopped: %s", row.name, failure.error)

    async def _on_record(self, transaction: Transaction) -> FollowerRow | None:
        rows = await Followers(transaction).of(self.row.name)
        return next((each for each in rows if each.follower_id == self.row.follower_id), None)
