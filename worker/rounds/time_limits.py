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
# The least number of checks during a command's handler timeout.
_TICKS = 8


class TimeLimits:
    """Ends the commands whose handler timeout is over, except those being recorded: their answer may be on record.

    If an append goes unanswered and commands do not wait for the store, they end earlier: the store used up their time.

    Args:
        active: The active commands.
        breaker: While it is open, no handler timeout runs; nor does that of a command that waits for another of its
            key.
        seconds: The handler timeout.
        outcomes: Gets each command whose timeout is over.
        silence: Called with how long an append may go unanswered, in seconds: half the handler timeout. Returns the
            error with which all active commands fail; None if none of them does.
        forget_ended: Called when a command's timeout is over: ended commands need not be kept in queues any more.
    """

    def __init__(
        self,
        active: ActiveJobs,
        breaker: CircuitBreaker,
        *,
        seconds: float,
        outcomes: Outcomes,
        silence: Callable[[float], StoreUnavailable | None],
        forget_ended: Callable[[], None],
    ) -> None:
        self._active = active
        self._breaker = breaker
        self._seconds = seconds
        self._interval = min(_TICK_SECONDS, seconds / _TICKS)
        self._outcomes = outcomes
        self._silence = silence
        self._forget_ended = forget_ended
        self._ticker: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Begin to check. Safe to repeat."""
        if self._ticker is None:
            self._tick()

    def close(self) -> None:
        """Stop checking."""
        if self._ticker is not None:
            self._ticker.cancel()

    def _tick(self) -> None:
        self._ticker = asyncio.get_running_loop().call_later(self._interval, self._tick)
        silence = self._silence(self._seconds / 2)
        now = time.monotonic()
        jobs = [*self._active]
        for job in jobs:
            if silence is not None:
                self._outcomes.failed(job, silence.copy_for_caller())
            elif job.is_sent or self._outcomes.let_go(job):
                continue
            elif job.is_held_back:
                if now >= job.held_until:
                    late = HandlerTimedOut(
                        "an earlier command of its key was not decided for as long as this one could be held"
                    )
                    self._outcomes.failed(job, late)
            elif self._breaker.is_open:
                if now >= job.held_until:
                    failure = StoreUnavailable("the database was unavailable for as long as this message could be held")
                    self._outcomes.failed(job, failure)
            elif now - job.started_at > self._seconds:
                self._outcomes.failed(job, HandlerTimedOut(f"there was no answer within {self._seconds:g} s"))
        if any(job.has_ended for job in jobs):
            self._forget_ended()
