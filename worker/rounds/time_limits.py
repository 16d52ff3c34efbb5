"""The time limits: how long a command may take, and how long it is held while the database does not answer."""

import asyncio
import time
from collections.abc import Callable

from eventstore import StoreUnavailable
from worker.errors import HandlerTimedOut
from worker.rounds.active_jobs import ActiveJobs
from worker.rounds.circuit_breaker import CircuitBreaker
from worker.rounds.outcomes import Outcomes

__all__ = ["TimeLimits"]

_TICK_SECONDS = 1.0


class TimeLimits:
    """Ends the commands whose time is over. None that is being recorded: its answer may be on record.

    Args:
        active: The commands under way.
        breaker: While it is open, no command's time runs; nor does that of one that waits for another of its key.
        seconds: The handler timeout.
        outcomes: Told of each command whose time is over.
        pause_if_silent: Called with how long the store may leave an append without an answer, before the time of those
            who wait behind it is over.
    """

    def __init__(
        self,
        active: ActiveJobs,
        breaker: CircuitBreaker,
        *,
        seconds: float,
        outcomes: Outcomes,
        pause_if_silent: Callable[[float], None],
    ) -> None:
        self._active = active
        self._breaker = breaker
        self._seconds = seconds
        self._outcomes = outcomes
        self._pause_if_silent = pause_if_silent
        self._ticker: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Begin to watch. Safe to repeat."""
        if self._ticker is None:
            self._tick()

    def close(self) -> None:
        """Watch no more."""
        if self._ticker is not None:
            self._ticker.cancel()

    def _tick(self) -> None:
        self._ticker = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)
        self._pause_if_silent(self._seconds / 2)
        now = time.monotonic()
        for job in self._active:
            if job.is_sent or self._outcomes.let_go(job):
                continue
            if job.is_held_back:
                if now >= job.held_until:
                    late = HandlerTimedOut("an earlier command of its key was not decided while this could be held")
                    self._outcomes.failed(job, late)
            elif self._breaker.is_open:
                if now >= job.held_until:
                    failure = StoreUnavailable("the database did not serve for as long as this was held")
                    self._outcomes.failed(job, failure)
            elif now - job.started_at > self._seconds:
                self._outcomes.failed(job, HandlerTimedOut(f"there was no answer within {self._seconds:g} s"))
