"""The receipt look-ups: whether commands that may have been sent before are recorded, many by one statement."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context

from eventstore import EventStoreError
from worker.rounds.circuit_breaker import DOWN
from worker.rounds.job import Job
from worker.rounds.recording import Recording
from worker.rounds.shared import Shared

__all__ = ["ReceiptLookups"]


class ReceiptLookups:
    """Looks up the receipts of one domain's commands. Requests made while a statement runs share the next one.

    Args:
        shared: The objects that are shared within one domain's scheduler.
        recording: Says when to send the next statement, so that look-ups keep step with rounds.
        done: Called with each command that was looked up.
        failed: Called with the commands whose look-up failed, and the error.
    """

    def __init__(
        self,
        shared: Shared,
        *,
        recording: Recording,
        done: Callable[[Job], None],
        failed: Callable[[Sequence[Job], Exception], None],
    ) -> None:
        self._store = shared.store
        self._domain_name = shared.domain.name
        self._breaker = shared.breaker
        self._recording = recording
        self._most = 2 * shared.settings.worker_concurrency
        self._done = done
        self._failed = failed
        self._waiting: list[Job] = []
        self._since = 0
        self._task: asyncio.Task[None] | None = None

    def want(self, job: Job) -> None:
        """Look up the receipt of a command, which waits for the result."""
        job.is_waiting = True
        job.is_looked_up = False
        if not self._waiting:
            self._since = self._recording.begun
        self._waiting.append(job)
        self._recording.more(self._waiting)
        if self._task is None or self._task.done():
            # In a context of its own: a shared look-up belongs to no single command.
            self._task = asyncio.create_task(self._look_up(), context=Context())

    def forget_ended(self) -> None:
        """Look nothing up any more for those who have ended."""
        self._waiting[:] = [job for job in self._waiting if not job.has_ended]

    async def close(self) -> None:
        """Stop looking up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look_up(self) -> None:
        await asyncio.sleep(0)
        while self._waiting:
            await self._recording.step(self._waiting, self._since)
            era = await self._breaker.closed()
            jobs, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            if not jobs:
                return
            try:
                found = set(await self._store.receipts([job.command_id for job in jobs], scope=self._domain_name))
            except DOWN as error:
                if self._breaker.is_patient:
                    self._breaker.open(error, era)
                    self._waiting = [*jobs, *self._waiting]
                    continue
                found = set()  # the append finds out
            except EventStoreError:
                found = set()  # the append finds out
            except Exception as bug:  # noqa: BLE001  no command must wait for ever
                self._failed(jobs, bug)
                continue
            for job in jobs:
                job.is_recorded = job.command_id in found
                job.is_looked_up = True
                self._done(job)
