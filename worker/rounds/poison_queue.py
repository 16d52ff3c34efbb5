"""The poison queue: commands that may have killed a process, decided one at a time in a process of their own."""

import asyncio
import math
import time
from collections import deque
from contextvars import Context

from opentelemetry import context as contexts

from eventstore import StoreUnavailable
from worker.errors import IsolationFailed
from worker.isolation.isolator import Isolator
from worker.rounds.circuit_breaker import CircuitBreaker
from worker.rounds.job import Job
from worker.settlement import Action, judge

__all__ = ["PoisonQueue"]

_FULL = 32


class PoisonQueue:
    """Has commands decided in isolation, first come, first served. Other commands do not wait for them.

    A command that waits for longer than it may be held fails, and is delivered again later.

    Args:
        isolator: Decides a command in a process of its own.
        domain_name: Name of the domain of these commands.
        breaker: Open while the database does not answer.
    """

    def __init__(self, isolator: Isolator, domain_name: str, breaker: CircuitBreaker) -> None:
        self._isolator = isolator
        self._domain_name = domain_name
        self._breaker = breaker
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._task: asyncio.Task[None] | None = None
        # At this length, waiting commands are checked for those whose channel was lost: they were delivered again.
        self._full = _FULL
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting_keys(self) -> set[str]:
        """The affinity keys of the commands that have not started."""
        return {job.affinity_key for job in self._waiting if job.affinity_key is not None}

    def submit(self, job: Job) -> None:
        """Add a command; its ``ended`` is called when it ends."""
        if len(self._waiting) >= self._full:
            self._let_lost_go()
        self._waiting.append(job)
        self._watch()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), context=Context())

    async def drain(self, deadline: float) -> int:
        """Give back the commands that have not started, and let the one that has finish.

        Args:
            deadline: How long that may take, in seconds.

        Returns:
            1 if a command had started and did not finish in time; otherwise 0.
        """
        while self._waiting:
            self._waiting.popleft().end(None)
        if self._task is not None and not self._breaker.is_open:
            await asyncio.wait({self._task}, timeout=deadline)
        return int(self._running is not None)

    async def close(self) -> None:
        """Stop at once, and give back what waits."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while self._waiting:
            self._waiting.popleft().end(None)
        if self._timer is not None:
            self._timer.cancel()

    def _watch(self) -> None:
        """Set the timer that ends the first command when it has waited for as long as it may."""
        if self._timer is None and self._waiting and (until := self._waiting[0].held_until) < math.inf:
            self._timer = asyncio.get_running_loop().call_later(until - time.monotonic(), self._let_late_go)

    def _let_late_go(self) -> None:
        self._timer = None
        while self._waiting and self._waiting[0].held_until <= time.monotonic():
            self._waiting.popleft().end(self._late())
        self._watch()

    def _late(self) -> Exception:
        """Return the error of a command that did not start for as long as it may be held."""
        if self._breaker.is_open:
            return StoreUnavailable("the database was unavailable for as long as this message could be held")
        return IsolationFailed("other messages that may be poison were decided for as long as this one could be held")

    def _let_lost_go(self) -> None:
        lost = [job for job in self._waiting if job.is_abandoned()]
        self._waiting = deque(job for job in self._waiting if not job.is_abandoned())
        for job in lost:
            job.end(None)
        # Twice what is left: otherwise every further command would check all of many that are not lost.
        self._full = max(_FULL, 2 * len(self._waiting))

    async def _run(self) -> None:
        while self._waiting:
            job = self._running = self._waiting.popleft()
            token = contexts.attach(job.context)
            try:
                await self._decide(job)
            finally:
                contexts.detach(token)
                self._running = None
                job.end(None)  # unless it has ended

    async def _decide(self, job: Job) -> None:
        while not job.is_abandoned():
            seconds = None if job.held_until == math.inf else max(job.held_until - time.monotonic(), 0.0)
            try:
                async with asyncio.timeout(seconds):
                    era = await self._breaker.closed()
            except TimeoutError:
                job.end(self._late())
                return
            try:
                job.end(await self._isolator.decide(self._domain_name, job.message, begin_by=job.held_until))
            except Exception as failure:  # noqa: BLE001  the settlement table knows what to do with each
                if judge(failure).action is not Action.PAUSE:
                    job.end(failure)
                    return
                self._breaker.open(StoreUnavailable(str(failure)), era)
            else:
                self._breaker.served(era)
                return
