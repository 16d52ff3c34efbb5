"""The coordinator: which followers this process runs now, by the leases that it has, and what becomes of them."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eventstore import EventStore, EventStoreError, HistoryDiverged, Position
from eventstore.backoff import Backoff
from eventstore.postgres import Session
from worker.errors import BrokerError, FollowerError
from worker.reading.builds import Superseded, drop_retired
from worker.reading.complaints import complaint
from worker.reading.event_failed import EventFailed
from worker.reading.followed import Followed
from worker.reading.follower import Follower, Progress
from worker.reading.followers import Failure, FollowerName, FollowerRow, Followers
from worker.reading.lease import IDLE_SECONDS, LEASE_SECONDS, TICK_SECONDS, Candidate, Checkpoint, LeaseLost
from worker.reading.metrics import Figures

if TYPE_CHECKING:  # it needs the broker's library, and who only asks does not
    from worker.reading.outlet import Outlet

__all__ = ["Coordinator", "Running"]

_log = logging.getLogger(__name__)

_FIRST_REST, _LONGEST_REST = 0.5, 5.0
# Every so many ticks the tables of replaced builds are looked for again: readers may have held them.
_TICKS_BETWEEN_DROPS = 60


@dataclass(slots=True, eq=False)
class Running:
    """A follower that this process has the lease of.

    Attributes:
        declared: What it is of.
        row: As it is on record.
        fence: The lease's number.
        progress: How far it has come.
        reached: How far its checkpoint was known to be, by this process.
        failure: The event that stopped it.
        trouble: Why it rests, where no event is to blame.
    """

    declared: Followed
    row: FollowerRow
    fence: int
    progress: Progress = field(default_factory=Progress)
    reached: Position | None = None
    failure: Failure | None = None
    trouble: str | None = None
    task: "asyncio.Task[None] | None" = None

    @property
    def told(self) -> str | None:
        """What keeps it from going on, in a sentence; None where nothing does."""
        if (failure := self.failure) is not None:
            # Without a type, it is no event but the whole log.
            by = f" by event {failure.number}" if failure.event_type else ""
            return f"{self.row.name} is stopped{by}: {failure.error}"
        return None if self.trouble is None else f"{self.row.name}: {self.trouble}"


class Coordinator:
    """Runs what follows one log and has its checkpoints in one database, as far as no other process does.

    Args:
        declared: The projections, reactions and relays.
        store: The log.
        target: Makes a session with the database of the checkpoints, and of the tables.
        outlet: The way to the broker; None where nothing is sent.
        purpose: How its connections appear in ``pg_stat_activity``.

    Attributes:
        running: Those that this process has the lease of, by follower.
        problems: What keeps some of them from being run at all, by name.
        trouble: Why the database of the checkpoints cannot be asked now; None while it can.
    """

    def __init__(
        self,
        declared: Sequence[Followed],
        store: EventStore,
        target: Callable[[str], Session],
        *,
        outlet: "Outlet | None" = None,
        purpose: str = "worker project",
    ) -> None:
        self.running: dict[int, Running] = {}
        self.problems: dict[FollowerName, str] = {}
        self.trouble: str | None = None
        self._declared = {each.name: each for each in declared}
        self._store = store
        self._target = target
        self._outlet = outlet
        self._purpose = purpose
        self._session = target(f"{purpose}: leases")
        self._candidate = Candidate()
        self._ticks = 0

    @property
    def active(self) -> int:
        """How many this process has the lease of."""
        return len(self.running)

    @property
    def troubles(self) -> list[str]:
        """What keeps some of them from going on, in sentences."""
        found = [*self.problems.values(), *([self.trouble] if self.trouble is not None else [])]
        return found + [told for running in self.running.values() if (told := running.told) is not None]

    @property
    def counts(self) -> Mapping[str, int]:
        """What this process did."""
        return {"followed": sum(running.progress.events for running in self.running.values())}

    def figures(self) -> list[Figures]:
        """Return what is observed of each that this process runs."""
        return [
            Figures(
                kind=running.row.name.kind,
                name=str(running.row.name),
                version=running.row.version,
                events=running.progress.events,
                number=running.progress.number,
                head=running.progress.head,
                behind_seconds=running.progress.behind_seconds,
                is_stopped=running.failure is not None,
            )
            for running in self.running.values()
        ]

    async def open(self) -> None:
        """See that each has a follower, and each projection its tables.

        Raises:
            FollowerError: One cannot be run as it is declared, or as the database is.
            EventStoreError: The database cannot be used now, or as it is.
        """
        for declared in self._declared.values():
            try:
                await declared.register(self._session, self._store)
            except Superseded as error:
                self._problem(declared.name, str(error))

    async def close(self) -> None:
        """Close its connection. Safe to repeat."""
        await self._session.close()

    async def serve(self) -> None:
        """Run them until cancelled; what is under way is rolled back then, and the leases are given back."""
        backoff = Backoff(first=_FIRST_REST, longest=_LONGEST_REST)
        try:
            while True:
                try:
                    await self._tick()
                except EventStoreError as error:
                    self._troubled(str(complaint(error, self._session.schema)))
                    await backoff.rest()
                    continue
                self._troubled(None)
                backoff.reset()
                await asyncio.sleep(TICK_SECONDS)
        finally:
            await self._stop_all()

    async def _tick(self) -> None:
        """Keep the leases that there are, take those that are free, and see to what has changed."""
        held = {follower_id: running.fence for follower_id, running in self.running.items()}
        async with self._session.transaction(idle_in_transaction_session_timeout=f"{IDLE_SECONDS}s") as transaction:
            followers = Followers(transaction)
            kinds = {name.kind for name in self._declared}
            rows = [row for row in await followers.all(*kinds) if row.name in self._declared]
            # Last, and in one exchange with the server: a process that is frozen here must not keep rows locked.
            kept = await followers.renew(held, LEASE_SECONDS)
        there = {row.follower_id: row for row in rows}
        for follower_id in held:
            row = there.get(follower_id)
            if (
                follower_id not in kept
                or row is None
                or row.paused_at is not None
                or not self._declared[row.name].fits(row)
            ):
                await self._stop(follower_id)
        for name, declared in self._declared.items():
            await self._see_to(declared, [row for row in rows if row.name == name])
        if self._ticks % _TICKS_BETWEEN_DROPS == 0:
            try:
                await drop_retired(self._session)
            except EventStoreError as error:
                _log.warning("the tables of a replaced build cannot be dropped yet: %s", error)
        self._ticks += 1

    async def _see_to(self, declared: Followed, rows: list[FollowerRow]) -> None:
        try:
            if declared.lacks_row(rows):
                await declared.register(self._session, self._store)
                return  # the next tick sees it
        except FollowerError as error:
            self._problem(declared.name, str(error))
            for row in rows:
                await self._stop(row.follower_id)
            return
        self.problems.pop(declared.name, None)
        for row in rows:
            if not declared.fits(row) or row.paused_at is not None:
                continue
            running = self.running.get(row.follower_id)
            if running is None:
                if (running := await self._take(declared, row)) is not None:
                    self._start(running)
                continue
            running.row = row
            if running.task is None and (running.failure is None or row.failure is None):
                # Resumed by hand, or past an event that is left out from now on; or what ended it is settled.
                running.failure = None
                self._start(running)
            if not row.is_current and running.progress.has_caught_up and running.task is not None:
                await self._promote(running)

    async def _take(self, declared: Followed, row: FollowerRow) -> Running | None:
        fence = await self._candidate.take(self._session, row)
        if fence is None:
            return None
        running = self.running[row.follower_id] = Running(declared, row, fence)
        _log.info("%s %s, version %d: on from event %d", row.name.kind, row.name, row.version, row.position.number)
        return running

    async def _promote(self, running: Running) -> None:
        row = running.row
        try:
            if await running.declared.promote(self._session, row.follower_id, running.fence):
                _log.info("%s: readers read what was built anew, version %d", row.name, row.version)
                self._ticks = 0  # the old tables are to go
            running.trouble = None
        except FollowerError as error:
            running.trouble = str(error)
        except EventStoreError as error:
            _log.warning("%s: what was built anew cannot take its place yet: %s", row.name, error)

    def _start(self, running: Running) -> None:
        running.task = asyncio.create_task(self._run(running), name=f"{running.row.name.kind} {running.row.name}")

    async def _run(self, running: Running) -> None:
        """Follow, through every interruption, until an event stops it, the lease is lost, or it is cancelled."""
        session = self._target(f"{self._purpose}: {running.row.name}")
        backoff = Backoff(first=_FIRST_REST, longest=_LONGEST_REST)
        try:
            while True:
                before = running.progress.events, running.reached
                try:
                    await self._follow(running, session)
                except _Stopped as stopped:
                    running.failure = stopped.failure
                    return  # the row says why, and a person had it in the log when it happened
                except EventFailed as failed:
                    running.failure = failed.failure
                    _log.error("%s: stopped: %s", running.row.name, failed)
                    return
                except LeaseLost:
                    return  # the next tick sees why
                except HistoryDiverged as error:
                    await self._diverged(running, session, error)
                    return
                except (EventStoreError, BrokerError) as error:
                    if (running.progress.events, running.reached) != before:
                        backoff.reset()
                    running.trouble = str(
                        complaint(error, session.schema) if isinstance(error, EventStoreError) else error
                    )
                    _log.warning("%s: rests: %s", running.row.name, running.trouble)
                    await backoff.rest()
                except Exception:  # noqa: BLE001  a bug of ours: said with its trace, and tried again like what passes
                    running.trouble = "it failed in a way that this program does not know; its log has the trace"
                    _log.exception("%s: failed", running.row.name)
                    await backoff.rest()
        finally:
            running.task = None
            await session.close()

    async def _follow(self, running: Running, session: Session) -> None:
        declared, row = running.declared, running.row
        async with session.transaction() as transaction:
            followers = Followers(transaction)
            # What was committed last may not be known: the row tells.
            now = next((each for each in await followers.of(row.name) if each.follower_id == row.follower_id), None)
            skipped = await followers.skipped(row.name, row.version)
        if now is None or now.fence != running.fence:
            raise LeaseLost
        if declared.is_final and now.failure is not None and now.diverged_from is not None:
            raise _Stopped(now.failure)
        if declared.is_final and running.reached is not None and now.position.number < running.reached.number:
            # The database that was failed over to lacks the last checkpoints, and with them perhaps events.
            raise HistoryDiverged(f"position {running.reached} was lost with the checkpoint")
        running.trouble = None
        checkpoint = Checkpoint(now, running.fence)
        sink = declared.sink(session, [each.number for each in skipped], self._outlet)
        follower = Follower(self._store, declared.events, sink, checkpoint, running.progress)
        try:
            await follower.run()
        except EventFailed as failed:
            async with session.transaction() as transaction:
                if not await Followers(transaction).fail(row.follower_id, running.fence, failed.failure):
                    raise LeaseLost from failed
            raise
        finally:
            running.reached = checkpoint.position

    async def _diverged(self, running: Running, session: Session, error: HistoryDiverged) -> None:
        running.trouble = "the log was rewritten behind it"
        with suppress(EventStoreError):  # where the database does not take it now, the next start finds it again
            async with session.transaction() as transaction:
                followers = await Followers(transaction).of(running.row.name)
            row = next((each for each in followers if each.follower_id == running.row.follower_id), running.row)
            failure = await running.declared.diverged(session, self._store, row, running.fence, error)
            if failure is not None:
                running.failure = failure
                _log.error("%s: stopped: %s", row.name, failure.error)

    async def _stop(self, follower_id: int) -> None:
        """Stop what runs for a follower, and give its lease back."""
        if (running := self.running.pop(follower_id, None)) is None:
            return
        await _cancelled([running])
        with suppress(EventStoreError):  # it runs out by itself
            async with self._session.transaction() as transaction:
                await Followers(transaction).release(follower_id, running.fence)

    async def _stop_all(self) -> None:
        await _cancelled(self.running.values())
        with suppress(EventStoreError):
            async with self._session.transaction() as transaction:
                for follower_id, running in self.running.items():
                    await Followers(transaction).release(follower_id, running.fence)
        self.running.clear()
        await self._session.close()

    def _problem(self, name: FollowerName, problem: str) -> None:
        if self.problems.get(name) != problem:
            self.problems[name] = problem
            _log.error("%s", problem)

    def _troubled(self, trouble: str | None) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            _log.warning("%s", f"leases cannot be kept: {trouble}" if trouble else "leases can be kept again")


class _Stopped(Exception):
    """Raised where a follower is stopped until a person says where it goes on."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error)
        self.failure = failure


async def _cancelled(each: Iterable[Running]) -> None:
    tasks = [running.task for running in each if running.task is not None]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
