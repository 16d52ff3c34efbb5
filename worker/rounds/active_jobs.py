"""The active jobs: the commands of one domain that are under way, each id once."""

import asyncio
import time
from collections.abc import Iterator
from uuid import UUID

from worker.rounds.job import Job
from worker.rounds.job_spans import end_attempt
from worker.rounds.part_states import PartStates
from worker.settlement import Answer

__all__ = ["ActiveJobs"]


class ActiveJobs:
    """The commands under way. What is known of their parts is held for as long.

    Args:
        states: Where that is kept.
    """

    def __init__(self, states: PartStates) -> None:
        self._states = states
        self._jobs: dict[UUID, Job] = {}
        self._tickets = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        """Iterate over those that are under way now; they may end meanwhile."""
        return iter([*self._jobs.values()])

    def joined(self, job: Job) -> bool:
        """Have a command await the answer of another one with its id, if there is one; say whether there is.

        Decided at the same time, one of them would break the round of the other.
        """
        first = self._jobs.get(job.command_id)
        if first is None:
            return False
        lost = [each for each in first.followers if each.is_abandoned()]
        first.followers = [*(each for each in first.followers if each not in lost), job]
        for each in lost:
            each.end(None)
        return True

    def number(self, job: Job) -> None:
        """Give a command its place among all, by when it came first."""
        if not job.ticket:
            self._tickets += 1
            job.ticket = self._tickets

    def begin(self, job: Job) -> None:
        """Take up a command whose parts are known by now. Its time begins."""
        job.started_at = time.monotonic()
        job.entries = self._states.use(job.parts)
        self._jobs[job.command_id] = job
        self._idle.clear()

    def end(self, job: Job, happened: Answer | Exception | None) -> list[Job]:
        """End a command, and tell it.

        Args:
            job: The command.
            happened: Its answer, what kept it from one, or None if it is given back undecided.

        Returns:
            Those that awaited its answer. They are under way no more.
        """
        end_attempt(job)
        followers, job.followers = job.followers, []
        if self._jobs.get(job.command_id) is job:
            del self._jobs[job.command_id]
            self._states.release(job.entries)
            if not self._jobs:
                self._idle.set()
        job.end(happened)
        return followers

    def give_back(self, job: Job) -> None:
        """End a command undecided, and with it those that await its answer."""
        for follower in self.end(job, None):
            follower.end(None)

    def restart_time(self) -> None:
        """Give every command its whole time again."""
        now = time.monotonic()
        for job in self._jobs.values():
            job.started_at = now

    async def until_none(self) -> None:
        """Wait until no command is under way."""
        await self._idle.wait()
