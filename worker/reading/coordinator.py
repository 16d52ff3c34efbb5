"""The coordinator: runs the followers that this process holds leases of, and reacts to changes in their rows."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from eventstore import Consistency, EventStore, EventStoreError, StoreUnavailable
from eventstore.backoff import Backoff
from eventstore.postgres import Session
from worker.errors import FollowerError
from worker.reading.builds import Superseded, drop_retired
from worker.reading.complaints import complaint
from worker.reading.followed import Followed
from worker.reading.follower_run import FIRST_REST, LONGEST_REST, FollowerRun
from worker.reading.followers import FollowerName, FollowerRow, Followers
from worker.reading.lease import IDLE_SECONDS, LEASE_SECONDS, TICK_SECONDS, Candidate
from worker.reading.metrics import Figures

if TYPE_CHECKING:  # it needs the AMQP library, which readers do not need
    from worker.reading.outlet import BrokerConnections

__all__ = ["Coordinator"]

_log = logging.getLogger(__name__)

_ANSWER_SECONDS = 10.0
# How many ticks pass before tables of replaced builds are dropped, or tried again: readers may have locked them.
_TICKS_BETWEEN_DROPS = 60


class Coordinator:
    """Runs the followers of one log with checkpoints in one database, except those that other processes run.

    Args:
        declared: The projections, reactions and relays to run.
        store: The event store whose log is followed.
        target: Returns a new session, for a given purpose, with the database of checkpoints and tables.
        outlet: The connections to the broker; None if nothing is sent.
        purpose: Name of its connections in ``pg_stat_activity``.
        answer_seconds: How long that database may take to answer before it counts as unavailable.

    Attributes:
        running: The runs that this process holds the lease of, by the follower's number.
        problems: Why some of them cannot be run at all, by name.
        trouble: Why the database of the checkpoints cannot be used now; None if it can.
    """

    def __init__(
        self,
        declared: Sequence[Followed],
        store: EventStore,
        target: Callable[[str], Session],
        *,
        outlet: "BrokerConnections | None" = None,
        purpose: str = "worker project",
        answer_seconds: float = _ANSWER_SECONDS,
    ) -> None:
        self.running: dict[int, FollowerRun] = {}
        self.problems: dict[FollowerName, str] = {}
        self.trouble: str | None = None
        self._declared = {each.name: each for each in declared}
        self._turns = deque(self._declared)
        self._store = store
        self._target = target
        self._outlet = outlet
        self._purpose = purpose
        self._answer_seconds = answer_seconds
        self._session = target(f"{purpose}: leases")
        self._candidate = Candidate()
        self._ticks = 0

    @property
    def active(self) -> int:
        """How many followers this process holds the lease of."""
        return len(self.running)

    @property
    def troubles(self) -> list[str]:
        """What prevents followers from going on, a sentence each."""
        found = [*self.problems.values(), *([self.trouble] if self.trouble is not None else [])]
        return found + [told for run in self.running.values() if (told := run.told) is not None]

    @property
    def counts(self) -> Mapping[str, int]:
        """What this process has done."""
        return {"followed": sum(run.progress.events for run in self.running.values())}

    def figures(self) -> list[Figures]:
        """Return the figures of each follower that this process runs."""
        return [run.figures() for run in self.running.values()]

    async def open(self) -> None:
        """Register everything that is declared: its follower, and its tables if it is a projection.

        Raises:
            FollowerError: One cannot be run with its declaration or its database.
            EventStoreError: The database cannot be reached, or cannot be used as it is.
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
        """Run followers until cancelled; then roll back what is in progress, and release the leases."""
        backoff = Backoff(first=FIRST_REST, longest=LONGEST_REST)
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
        """Renew the leases held, take free ones, and react to changed rows."""
        held = {follower_id: run.fence for follower_id, run in self.running.items()}
        # The row of a run that ends from here on may be read before it says why: the next tick sees to it.
        ended = {follower_id for follower_id, run in self.running.items() if not run.is_under_way}
        try:
            async with asyncio.timeout(self._answer_seconds):
                rows, kept = await self._renewed(held)
        except TimeoutError:
            # Another process has taken over by now; the log must say that this one has stopped.
            raise StoreUnavailable(f"the database has not answered for {self._answer_seconds:g} s") from None
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
        seen_to = time.monotonic()
        for name in tuple(self._turns):
            self._turns.rotate(-1)
            await self._see_to(self._declared[name], [row for row in rows if row.name == name], ended)
            if time.monotonic() - seen_to > TICK_SECONDS:
                break  # a follower that waits for a lock; the leases are renewed before the others have their turn
        if self._ticks % _TICKS_BETWEEN_DROPS == 0:
            try:
                await drop_retired(self._session)
            except EventStoreError as error:
                _log.warning("the tables of a replaced build cannot be dropped yet: %s", error)
        self._ticks += 1
        await self._see_the_head()

    async def _see_the_head(self) -> None:
        """Look how far the log is, for the figures of runs that were stopped and read it no more."""
        stopped = [run for run in self.running.values() if run.failure is not None]
        if not stopped:
            return
        # The leases must not wait for the log.
        with suppress(EventStoreError, TimeoutError):
            async with asyncio.timeout(TICK_SECONDS):
                head = await self._store.position(consistency=Consistency.EVENTUAL)
            for run in stopped:
                run.progress.sees(head)

    async def _renewed(self, held: Mapping[int, int]) -> tuple[list[FollowerRow], frozenset[int]]:
        """Return the current rows, and the followers whose leases are still this process's."""
        async with self._session.transaction(idle_in_transaction_session_timeout=f"{IDLE_SECONDS}s") as transaction:
            followers = Followers(transaction)
            kinds = {name.kind for name in self._declared}
            rows = [row for row in await followers.all(*kinds) if row.name in self._declared]
            # Last, and in one exchange with the server: if the process is frozen here, no row stays locked.
            return rows, await followers.renew(held, LEASE_SECONDS)

    async def _see_to(self, declared: Followed, rows: list[FollowerRow], ended: Collection[int]) -> None:
        try:
            if declared.lacks_row(rows):
                await declared.register(self._session, self._store)
                return  # the next tick finds it
        except FollowerError as error:
            self._problem(declared.name, str(error))
            for row in rows:
                await self._stop(row.follower_id)
            return
        self.problems.pop(declared.name, None)
        for row in rows:
            if not declared.fits(row) or row.paused_at is not None:
                continue
            run = self.running.get(row.follower_id)
            if run is None:
                await self._take(declared, row)
                continue
            run.row = row
            if row.follower_id in ended and (run.failure is None or row.failure is None):
                # Resumed by a person, or past a skipped event; or what ended the run is resolved.
                run.start()
            is_ready = not row.is_current and run.progress.has_caught_up and run.is_under_way
            if is_ready and await run.promote(self._session):
                self._ticks = 0  # so that the next tick drops the old tables

    async def _take(self, declared: Followed, row: FollowerRow) -> None:
        fence = await self._candidate.take(self._session, row)
        if fence is None:
            return
        run = self.running[row.follower_id] = FollowerRun(
            declared,
            row,
            fence,
            store=self._store,
            target=lambda: self._target(f"{self._purpose}: {row.name}"),
            outlet=self._outlet,
        )
        _log.info("%s %s, version %d: continues at event %d", row.name.kind, row.name, row.version, row.position.number)
        run.start()

    async def _stop(self, follower_id: int) -> None:
        """Stop the run of a follower, and release its lease."""
        if (run := self.running.pop(follower_id, None)) is None:
            return
        await _cancelled([run])
        with suppress(EventStoreError):  # it expires by itself
            async with self._session.transaction() as transaction:
                await Followers(transaction).release(follower_id, run.fence)

    async def _stop_all(self) -> None:
        await _cancelled(self.running.values())
        with suppress(EventStoreError):
            async with self._session.transaction() as transaction:
                for follower_id, run in self.running.items():
                    await Followers(transaction).release(follower_id, run.fence)
        self.running.clear()
        await self._session.close()

    def _problem(self, name: FollowerName, problem: str) -> None:
        if self.problems.get(name) != problem:
            self.problems[name] = problem
            _log.error("%s", problem)

    def _troubled(self, trouble: str | None) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            _log.warning("%s", f"leases cannot be renewed: {trouble}" if trouble else "leases can be renewed again")


async def _cancelled(runs: Iterable[FollowerRun]) -> None:
    ending = [task for run in runs if (task := run.cancel()) is not None]
    await asyncio.gather(*ending, return_exceptions=True)
