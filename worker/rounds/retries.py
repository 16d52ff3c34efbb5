"""Retries of conflicts: how long a command rests after a conflict, before it is decided again."""

import asyncio
from collections.abc import Callable

from tenacity import RetryCallState, Retrying, wait_random_exponential

from worker.rounds.job import Job

__all__ = ["ConflictRetries"]

_FIRST_WAIT = 0.05
_LONGEST_WAIT = 0.5


class ConflictRetries:
    """Lets commands rest after conflicts. Waits have full jitter; the first is up to 50 ms.

    Args:
        longest: The longest wait after a conflict, in seconds, before it is doubled for each use of the lock in vain.
    """

    def __init__(self, longest: float = _LONGEST_WAIT) -> None:
        self._retrying = Retrying(wait=wait_random_exponential(multiplier=_FIRST_WAIT, max=longest))
        self._resting: dict[Job, asyncio.TimerHandle] = {}

    def wait(self, lost: int) -> float:
        """Return how long to rest, in seconds.

        Args:
            lost: How often the command has conflicted, 1 or more.
        """
        state = RetryCallState(self._retrying, None, (), {})
        state.attempt_number = lost
        return float(self._retrying.wait(state))

    def rest(self, job: Job, rested: Callable[[Job, float], None]) -> None:
        """Let a command rest.

        Args:
            job: The command.
            rested: Called after the rest, with the command and how long it rested, in seconds.
        """
        # Each time that the lock was taken in vain doubles the wait: all other writers wait during it.
        seconds = self.wait(job.lost) * 2**job.holds

        def end() -> None:
            del self._resting[job]
            rested(job, seconds)

        self._resting[job] = asyncio.get_running_loop().call_later(seconds, end)

    def stop(self, job: Job) -> None:
        """Cancel the rest of a command, if it rests; its callback is not called."""
        if self._resting and (timer := self._resting.pop(job, None)) is not None:
            timer.cancel()

    def close(self) -> None:
        """Cancel all rests; no callback is called."""
        for timer in self._resting.values():
            timer.cancel()
        self._resting.clear()
