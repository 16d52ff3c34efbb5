"""The order of keys: commands with the same affinity key are decided in the order in which they came."""

import time
from bisect import insort
from collections.abc import Callable, Iterator

from worker.rounds.job import Job

__all__ = ["KeyOrder"]


class KeyOrder:
    """Holds back the commands of a key while an earlier one waits, whatever it waits for.

    A command is admitted to a round once every earlier one of its key is in that round or an earlier one, or has ended.
    Commands of other keys are not held back. Commands without a key are not ordered.

    Args:
        admitted: Called with a command that was held back, when it may be decided.
    """

    def __init__(self, admitted: Callable[[Job], None]) -> None:
        self._admitted = admitted
        # By key: the commands that later ones wait for, in order of their tickets.
        self._undecided: dict[str, list[Job]] = {}

    def hold(self, job: Job) -> None:
        """Make later commands of its key wait for a command, unless it has ended. Safe to repeat."""
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
        """Return whether a command may be decided now; if not, hold it back until it may."""
        if not job.holds_key or self._undecided[job.affinity_key or ""][0] is job:
            return True
        job.is_held_back = True
        return False

    def has_earlier(self, job: Job) -> bool:
        """Return whether an earlier command of its key waits, before which this one must not be recorded."""
        if job.affinity_key is None or job.is_recorded:
            return False
        jobs = self._undecided.get(job.affinity_key)
        return jobs is not None and jobs[0].ticket < job.ticket

    def release(self, job: Job) -> None:
        """Let later commands of its key pass one that is in a round or has ended. Safe to repeat."""
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
            # Its handler timeout does not include the time for which it was held back.
            jobs[0].started_at = time.monotonic()
            self._admitted(jobs[0])

    def take_held_back(self) -> Iterator[Job]:
        """Take all commands that are held back, to be decided or held back again."""
        for jobs in self._undecided.values():
            for job in jobs:
                if job.is_held_back:
                    job.is_held_back = False
                    # As in ``release``: until it is held back again, its handler timeout runs.
                    job.started_at = time.monotonic()
                    yield job
