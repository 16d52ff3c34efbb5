"""The order of keys: commands of one affinity key are decided in the order in which they came."""

import time
from bisect import insort
from collections.abc import Callable, Iterator

from worker.rounds.job import Job

__all__ = ["KeyOrder"]


class KeyOrder:
    """Holds back the commands of a key while an earlier one of it waits, for whatever that is.

    A command is admitted to a round once every earlier one of its key takes part in that round or one before it, or has
    ended. Others pass it meanwhile. Commands without a key are not ordered.

    Args:
        admitted: Called with each command that was held back, when it is to be decided.
    """

    def __init__(self, admitted: Callable[[Job], None]) -> None:
        self._admitted = admitted
        # By their keys, those whom later ones wait for, in the order of their tickets.
        self._undecided: dict[str, list[Job]] = {}

    def hold(self, job: Job) -> None:
        """Have later commands of its key wait for one, unless it has ended. Safe to repeat."""
        key = job.affinity_key
        if key is None or job.holds_key or job.has_ended:
            return
        job.holds_key = True
        jobs = self._undecided.get(key)
        if jobs is None:
            self._undecided[key] = [job]
        elif jobs[-1].ticket < job.ticket:
            jobs.append(job)
        else:
            insort(jobs, job, key=lambda each: each.ticket)

    def admits(self, job: Job) -> bool:
        """Tell whether a command may be decided now; if not, it is held back."""
        if not job.holds_key or self._undecided[job.affinity_key or ""][0] is job:
            return True
        job.is_held_back = True
        return False

    def has_earlier(self, job: Job) -> bool:
        """Tell whether an earlier command of its key waits, before which it must not be recorded."""
        if job.affinity_key is None or job.is_recorded:
            return False
        jobs = self._undecided.get(job.affinity_key)
        return jobs is not None and jobs[0].ticket < job.ticket

    def release(self, job: Job) -> None:
        """Let later commands of its key pass one that takes part in a round, or has ended. Safe to repeat."""
        if not job.holds_key:
            return
        job.holds_key = job.is_held_back = False
        key = job.affinity_key or ""
        jobs = self._undecided[key]
        if jobs[0] is job:
            del jobs[0]
        else:
            jobs.remove(job)
        if not jobs:
            del self._undecided[key]
        elif jobs[0].is_held_back:
            jobs[0].is_held_back = False
            # None of it was spent on it.
            jobs[0].started_at = time.monotonic()
            self._admitted(jobs[0])

    def take_held_back(self) -> Iterator[Job]:
        """Take all that are held back, to be decided or held back again."""
        for jobs in self._undecided.values():
            for job in jobs:
                if job.is_held_back:
                    job.is_held_back = False
                    yield job
