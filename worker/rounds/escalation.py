"""The escalation: commands that lost too often are decided under the store's lock, where they cannot lose."""

from collections.abc import Callable, Sequence

from eventstore import Consistency, TransientStoreError
from worker.rounds.circuit_breaker import DOWN
from worker.rounds.job import Job
from worker.rounds.outcomes import Outcomes
from worker.rounds.round import Round, Verdict
from worker.rounds.shared import Shared
from worker.rounds.user_code import UserCode

__all__ = ["Escalation"]


class Escalation:
    """Takes the store's lock, then reads, decides and appends under it.

    It begins only when no round of this process is being recorded. No other command is decided during it.

    Args:
        shared: The objects that are shared within one domain's scheduler.
        decide: Decides a command as the next member of a round.
        outcomes: Gets the result for each command.
    """

    def __init__(
        self,
        shared: Shared,
        *,
        decide: Callable[[Round, Job], None],
        outcomes: Outcomes,
    ) -> None:
        self._store = shared.store
        self._shared = shared
        self._reader = shared.reader
        self._watchdog = shared.watchdog
        self._counters = shared.counters
        self._decide = decide
        self._outcomes = outcomes
        self._waiting: list[Job] = []

    @property
    def is_wanted(self) -> bool:
        """Whether a command waits for the lock."""
        return bool(self._waiting)

    def add(self, job: Job) -> None:
        """Add a command to those that wait for the lock. Its parts were just read."""
        self._waiting.append(job)

    def company(self, ready: Sequence[Job], most: int) -> tuple[list[Job], list[Job]]:
        """Take the commands that wait for the lock, and ready commands that read one of their parts.

        Args:
            ready: The commands that are ready to be decided, in order.
            most: The most commands to take.

        Returns:
            The commands taken; and the ready commands that were not taken, in their order.
        """
        jobs = [job for job in self._waiting if not self._outcomes.let_go(job)]
        self._waiting = jobs[most:]
        jobs = jobs[:most]
        parts = {entry.part for job in jobs for entry in job.entries}
        staying: list[Job] = []
        for job in ready:
            if len(jobs) < most and not parts.isdisjoint(entry.part for entry in job.entries):
                jobs.append(job)
            else:
                staying.append(job)
        # Commands that have a receipt already come last in a round.
        return sorted(jobs, key=lambda job: (job.is_recorded, job.ticket)), staying

    async def decide(self, jobs: Sequence[Job]) -> tuple[Round | None, Sequence[Verdict]]:
        """Decide commands under the lock, as one chain of appends.

        Returns:
            The round, and one verdict for each of its members. No round if the lock was not acquired or not used in
            time; ``outcomes`` has then been called for every command.

        Raises:
            StoreUnavailable, StoreMisconfigured, OutcomeUnknown: The store does not answer. ``outcomes`` has been
                called for every command.
        """
        if not jobs:
            return None, ()
        round_ = Round(self._shared, None)
        try:
            return round_, await self._hold(round_, jobs)
        except Exception as failure:
            round_.abandon()
            for job in jobs:
                job.is_sent = False
                # A command that failed under the lock has its result already.
                if not (job.has_ended or job.is_waiting or job.is_alone):
                    self._missed(job, failure)
            if isinstance(failure, DOWN):
                raise
            return None, ()

    async def _hold(self, round_: Round, jobs: Sequence[Job]) -> Sequence[Verdict]:
        command = jobs[0].message.command_type
        parts = list(dict.fromkeys(entry.part for job in jobs for entry in job.entries))
        async with self._store.exclusive() as held:
            self._counters.holds += 1
            # Their parts were brought up to date before: every writer waits while the lock is held.
            seen = await self._reader.read_once(
                parts,
                consistency=Consistency.STRONG,
                running=lambda: UserCode(self._watchdog, command),
                held=held,
            )
            for job in jobs:
                failure = next((seen.failures[part] for part in job.parts if part in seen.failures), None)
                if failure is not None:
                    self._outcomes.failed(job, failure)
                else:
                    self._decide(round_, job)
            for job in round_.prepare():
                self._outcomes.again(job)
            appends = round_.appends()
            for member in round_.members:
                member.job.is_sent = True
            return await held.append_chain(appends) if appends else ()

    def _missed(self, job: Job, failure: Exception) -> None:
        if isinstance(failure, TransientStoreError):
            self._outcomes.held_in_vain(job, failure)
        else:
            # As without the lock: after a diverged history the states are read anew, and no command fails.
            self._outcomes.judged(job, failure)
