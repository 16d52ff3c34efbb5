"""The active jobs: the commands of one domain that are in progress, at most one for each command id."""

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
    """The commands in progress. The cached states of their parts are kept for as long.

    Args:
        states: The cache of part states. An entry stays while a job here uses it.
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
        """Iterate over a copy of the active jobs: they may end during the iteration."""
        return iter([*self._jobs.values()])

    def joined(self, job: Job) -> bool:
        """Make a command wait for the answer to an active command with the same id; return whether there is one.

        If both were decided at the same time, one would break the round of the other.
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
        """Give a command its ticket, in order of first arrival. Does nothing if it has one."""
        if not job.ticket:
            self._tickets += 1
            job.ticket = self._tickets

    def begin(self, job: Job) -> None:
        """Add a prepared command: look up the entries of its parts, and start its handler timeout."""
        job.started_at = time.monotonic()
        job.entries = self._states.use(job.parts)
        self._jobs[job.command_id] = job
        self._idle.clear()

    def end(self, job: Job, happened: Answer | Exception | None) -> list[Job]:
        """End a command and call its callback.

        Args:
            job: The command.
            happened: Its answer, the error that prevented one, or None if it is given back undecided.

        Returns:
            The followers: commands with the same id that waited for its answer. They are not active.
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
        """End a command undecided, together with the followers that wait for its answer."""
        for follower in self.end(job, None):
            follower.end(None)

    def restart_time(self) -> None:
        """Restart the handler timeout of every active command."""
        now = time.monotonic()
        for job in self._jobs.values():
            job.started_at = now

    async def until_none(self) -> None:
        """Wait until no command is active."""
        await self._idle.wait()
