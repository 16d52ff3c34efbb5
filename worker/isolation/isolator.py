"""The isolator: has possibly poisonous messages decided in a separate process.

A decider may end its process, by a bug in a library or by using up memory. All commands of that process are then
delivered again, and the broker counts. A command that was there each time may be poison. Such messages are decided one
at a time by a process that does nothing else: if it ends, the cause is known, and no other command is affected.
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

# The kernel or a person may have killed the first process for another reason, but hardly two in a row.
_MOST_ENDED = 2
_MOST_LOST = 3
_PROBE_SECONDS = 5.0


class Isolator:
    """Decides the possibly poisonous messages of one store, one at a time, in a separate process; another is a spare.

    Each store of a worker has an isolator of its own: one that hangs does not delay messages of other stores.

    Both processes are started when the first such message comes. The spare has loaded the domains, so that the message
    after one that ended its process need not wait for a start. It has no connection to the database. Both end when no
    such message has come for a while.

    Nothing is settled here. A process may have recorded the command before it ended or failed: look up the command's
    receipt before dead-lettering it because of one of the errors below.

    Args:
        settings: The worker's settings, for the processes as well.
        counters: Counts the attempts and conflicts of the processes.
        probe: Does in the store, over the worker's own connections, what commands need of it; raises while that fails.
        limits: The time limits of the processes; by default those of ``ProcessLimits``.
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
        """Decide a command and record its answer.

        Args:
            domain_name: Name of the command's domain.
            message: The command.
            begin_by: How long it may wait for other commands: until then on the monotonic clock, in seconds.

        If the process ends, the command is decided once more, by another process. The handler timeout applies to all of
        it, except waiting for other commands and for a process to start.

        Raises:
            KilledItsProcess: Two processes ended while they decided the command, or one was stuck with it.
            IsolationFailed: No process could be started, other commands were decided until ``begin_by``, or the process
                could not use a database that this process can use. The command is not the cause; try it again later.
            FailedElsewhere: The process raised another error. If its verdict is to pause, this process cannot use the
                database either.

        On cancellation the process is killed; the answer may already be recorded.
        """
        try:
            async with asyncio.timeout(None if begin_by == math.inf else max(begin_by - time.monotonic(), 0.0)):
                await self._turn.acquire()
        except TimeoutError:
            raise IsolationFailed(
                "other messages that may be poison were decided for as long as this one could be held"
            ) from None
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
                _log.warning("the process that decided it %s; another process decides it once more", gone.ending)
            except BaseException:
                # It still decides this command: its next response would be taken for the answer to another.
                self._process = None
                await process.kill()
                raise

    async def _take(self) -> PoisonProcess:
        """Return a process that waits for a command, and start a spare if there is none."""
        if self._process is not None and self._process.has_ended:
            process, self._process = self._process, None
            await process.let_go()
        if self._process is None:
            self._process = await self._taken_spare() or await PoisonProcess.start(self._settings, self._limits)
        if self._spare is None:
            self._spare = asyncio.create_task(PoisonProcess.start(self._settings, self._limits))
            # A failed start concerns only the command that needs the spare, which then starts a process itself.
            self._spare.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._process

    async def _taken_spare(self) -> PoisonProcess | None:
        """Return the spare as soon as it has started; None if there is none, or it has ended."""
        if self._spare is None:
            return None
        spare = self._spare
        # On cancellation it stays the spare.
        await asyncio.wait({spare})
        self._spare = None
        with suppress(IsolationFailed):
            process = await spare
            if not process.has_ended:
                return process
            await process.let_go()
        return None

    async def _raise_if_the_database_serves(self, failure: Failure) -> None:
        """Check whether a process failed on a database that this process can use.

        Raises:
            IsolationFailed: This process can use the database, so that other commands need not pause.
        """
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._probe()
        except Exception:  # noqa: BLE001  any reason why it does not serve
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
            # Cancelling a start kills its process.
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
