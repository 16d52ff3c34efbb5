"""The isolator: has poison messages decided in a process of their own.

A decider that ends its process, by a bug in a library or for want of memory, takes along all commands that the process
holds. The broker delivers them again, and counts: one that was there each time may be poison. Such messages are decided
one at a time by a process that does nothing else. If it ends, it is known by which command, and no other is harmed.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from msgspec.structs import replace

from worker.counters import Counters
from worker.errors import IsolationFailed, KilledItsProcess
from worker.isolation.poison_process import PoisonProcess, ProcessLimits, ProcessLost
from worker.isolation.protocol import DecideRequest, DecideResponse
from worker.message import CommandMessage
from worker.settings import Settings
from worker.settlement import Action, Answer, FailedElsewhere, Failure
from worker.telemetry.spans import injected

__all__ = ["Isolator"]

_log = logging.getLogger(__name__)

# The kernel, or a person, may have killed the first one for a reason of their own; not two in a row.
_MOST_ENDED = 2
_MOST_LOST = 3
_PROBE_SECONDS = 5.0


class Isolator:
    """Decides the poison messages of one store, one at a time, by a process of their own; another one stands by.

    Each store of a worker has an isolator of its own: one that hangs holds up no other's messages.

    Both are started when the first such message comes: the process that stands by has loaded the domains, so that the
    message after one that ended its process does not wait for a start. It has no connection to the database. Both end
    when no such message has come for a while.

    Nothing is settled here. A process may have put the command on record before it ended or failed: look the command's
    receipt up before any of the failures below makes a dead letter of it.

    Args:
        settings: What the processes work with, too.
        counters: Where their attempts and conflicts are counted.
        probe: Asks the store's database, over the worker's own connections, to do what commands need of it; raises
            while it cannot.
        limits: How long a process may take for what.
    """

    def __init__(
        self,
        settings: Settings,
        counters: Counters,
        *,
        probe: Callable[[], Awaitable[object]],
        limits: ProcessLimits | None = None,
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._probe = probe
        self._limits = limits if limits is not None else ProcessLimits()
        self._process: PoisonProcess | None = None
        self._spare: asyncio.Task[PoisonProcess] | None = None
        self._idle: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    async def decide(self, domain_name: str, message: CommandMessage, *, begin_by: float = math.inf) -> Answer:
        """Find the answer to a command and put it on record.

        Args:
            domain_name: Whose command.
            message: The command.
            begin_by: For how long it waits for others, until then on the monotonic clock.

        A command whose process ends is decided once more, by another one. All of it keeps the handler timeout, waits
        for other commands and for a process to start excepted.

        Raises:
            KilledItsProcess: Two processes ended while they had the command, or one was stuck with it.
            IsolationFailed: No process could be given the command, others were decided until ``begin_by``, or the
                process could not use a database that serves this one. The command is not to blame; try it again later.
            FailedElsewhere: Whatever was raised in the process. If that is a reason to pause, the database does not
                serve this process either.

        On cancellation the process is killed; the answer may already be on record.
        """
        try:
            async with asyncio.timeout(None if begin_by == math.inf else max(begin_by - time.monotonic(), 0.0)):
                await self._turn.acquire()
        except TimeoutError:
            raise IsolationFailed("other messages that may be poison were decided while this could be held") from None
        try:
            self._stop_idling()
            try:
                response = await self._decided(domain_name, replace(message, headers=injected()))
                failure = response.failure
                if failure is not None and failure.verdict.action is Action.PAUSE:
                    await self._raise_if_the_database_serves(failure)
            finally:
                self._idle = asyncio.create_task(self._end_when_idle())
        finally:
            self._turn.release()
        self._counters.attempts += response.attempts
        self._counters.conflicts += response.conflicts
        self._counters.stale_conflicts += response.stale_conflicts
        if response.failure is not None:
            raise FailedElsewhere(response.failure)
        if response.answer is None:
            raise IsolationFailed("the process for poison messages gave neither an answer nor a failure")
        return response.answer

    async def close(self) -> None:
        """End the processes, if there are any."""
        async with self._turn:
            self._stop_idling()
            await self._end()

    async def _decided(self, domain_name: str, message: CommandMessage) -> DecideResponse:
        within = self._settings.worker_handler_timeout
        endings: list[str] = []
        lost = 0
        while True:
            process = await self._take()
            try:
                return await process.decide(DecideRequest(domain_name=domain_name, message=message, within=within))
            except FailedElsewhere as unreachable:
                return DecideResponse(failure=unreachable.failure)
            except ProcessLost as gone:
                self._process = None
                if gone.held is None:
                    lost += 1
                    if lost == _MOST_LOST:
                        raise IsolationFailed(
                            f"the process for poison messages {gone.ending} before it had the command"
                        ) from None
                    continue
                endings.append(gone.ending)
                within -= gone.held
                if gone.stuck or within <= 0 or len(endings) == _MOST_ENDED:
                    raise KilledItsProcess(_sentence(endings)) from None
                _log.warning("the process that decided it %s; it is decided once more by another", gone.ending)
            except BaseException:
                # It still works on this command: its next response would be taken for the answer to another.
                self._process = None
                await process.kill()
                raise

    async def _take(self) -> PoisonProcess:
        """Return a process that waits for a command, and have another one stand by."""
        if self._process is not None and self._process.has_ended:
            process, self._process = self._process, None
            await process.let_go()
        if self._process is None:
            self._process = await self._taken_spare() or await PoisonProcess.start(self._settings, self._limits)
        if self._spare is None:
            self._spare = asyncio.create_task(PoisonProcess.start(self._settings, self._limits))
            # Whether it could be started concerns the command that needs it, which starts one itself if not.
            self._spare.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._process

    async def _taken_spare(self) -> PoisonProcess | None:
        """Return the process that stands by, as soon as it has started; None if there is none, or it has ended."""
        if self._spare is None:
            return None
        spare = self._spare
        # Shielded: on cancellation it goes on standing by.
        await asyncio.wait({spare})
        self._spare = None
        with suppress(IsolationFailed):
            process = await spare
            if not process.has_ended:
                return process
            await process.let_go()
        return None

    async def _raise_if_the_database_serves(self, failure: Failure) -> None:
        """Tell a database that does not serve from a process that cannot reach one that does.

        Raises:
            IsolationFailed: The database serves this process. All other commands need not wait for this one.
        """
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._probe()
        except Exception:  # noqa: BLE001  whatever keeps it from serving
            return
        raise IsolationFailed(f"the process for poison messages cannot use the database: {failure.text}")

    def _stop_idling(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    async def _end_when_idle(self) -> None:
        await asyncio.sleep(self._limits.idle)
        async with self._turn:
            await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        spare, self._spare = self._spare, None
        if spare is not None and not spare.done():
            # A start that is cancelled kills its process.
            spare.cancel()
            await asyncio.wait({spare})
        ending = [process]
        if spare is not None and not spare.cancelled() and spare.exception() is None:
            ending.append(spare.result())
        await asyncio.gather(*(each.let_go() for each in ending if each is not None))


def _sentence(endings: list[str]) -> str:
    first, *others = endings
    if not others:
        return f"the process that decided it {first}"
    return f"the process that decided it {first}, and the next one that did {others[0]}"
