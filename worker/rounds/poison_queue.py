"""The poison queue: commands that may have killed a process, decided one at a time in a process of their own."""

import asyncio
from collections import deque
from contextvars import Context

from opentelemetry import context as contexts

from eventstore import StoreUnavailable
from worker.isolation.isolator import Isolator
from worker.rounds.circuit_breaker import CircuitBreaker
from worker.rounds.job import Job
from worker.settlement import Action, judge

__all__ = ["PoisonQueue"]

_FULL = 32


class PoisonQueue:
    """Has commands decided in isolation, first come, first decided. They wait for each other, and others for none.

    Args:
        isolator: Has them decided.
        domain_name: Whose commands they are.
        breaker: Open while the database does not answer.
    """

    def __init__(self, isolator: Isolator, domain_name: str, breaker: CircuitBreaker) -> None:
        self._isolator = isolator
        self._domain_name = domain_name
        self._breaker = breaker
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._task: asyncio.Task[None] | None = None
        # With so many, those are looked for that were lost with their channels and delivered again.
        self._full = _FULL

    def submit(self, job: Job) -> None:
        """Take a command; it is told of its end."""
        if len(self._waiting) >= self._full:
            self._let_lost_go()
        self._waiting.append(job)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), context=Context())

    async def drain(self, deadline: float) -> int:
        """Give back what has not started, and let what has finish.

        Returns:
            How many commands had started and did not finish within so many seconds.
        """
        while self._waiting:
            self._waiting.popleft().end(None)
        if self._task is not None and not self._breaker.is_open:
            await asyncio.wait({self._task}, timeout=deadline)
        return int(self._running is not None)

    async def close(self) -> None:
        """Stop at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while self._waiting:
            self._waiting.popleft().end(None)

    def _let_lost_go(self) -> None:
        lost = [job for job in self._waiting if job.is_abandoned()]
        self._waiting = deque(job for job in self._waiting if not job.is_abandoned())
        for job in lost:
            job.end(None)
        # Twice as many as are left, or each of many that are not lost would have all of them looked at.
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
            era = await self._breaker.closed()
            try:
                job.end(await self._isolator.decide(self._domain_name, job.message))
            except Exception as failure:  # noqa: BLE001  the settlement table knows what to do with each
                if judge(failure).action is not Action.PAUSE:
                    job.end(failure)
                    return
                self._breaker.open(StoreUnavailable(str(failure)), era)
            else:
                self._breaker.served(era)
                return
