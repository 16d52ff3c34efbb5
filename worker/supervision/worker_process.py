"""The member: one of a supervisor's worker processes, through all its lives."""

import asyncio
import logging
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Sequence

from worker.supervision.control_socket import SupervisorChannel
from worker.supervision.health import Health

__all__ = ["WorkerProcess"]

_log = logging.getLogger(__name__)

# A process that has no more to say ends within this time.
_END_SECONDS = 30.0


class WorkerProcess:
    """A worker process that can be started again and again.

    Args:
        number: Which one it is, from 1.
        command: How it is started; the option for its control_socket is added.
        most_silence: How long it may say nothing before it counts as stuck, and is killed, in seconds.

    Attributes:
        number: The same.
        deaths: How often in a row it died before it had been of use for long; kept by the supervisor.
        status: How its last life ended: an exit status, or a signal's number, negative. None before the first end.
        health: What it said last.
    """

    def __init__(self, number: int, command: Sequence[str], *, most_silence: float) -> None:
        self.number = number
        self.deaths = 0
        self.status: int | None = None
        self.health = Health(live=True, ready=False, reason="starting")
        self._command = command
        self._most_silence = most_silence
        self._process: Process | None = None
        self._control_socket: SupervisorChannel | None = None
        self._told = b""
        # None while there is a process that has said how it is.
        self._absent_since: float | None = time.monotonic()
        self._heard_first: float | None = None

    def __str__(self) -> str:
        """Name it for a log."""
        return f"worker {self.number}" + ("" if self._process is None else f" (process {self._process.pid})")

    @property
    def useful_for(self) -> float:
        """For how long its present or last life has been of use, in seconds; 0 when it never got as far."""
        return 0.0 if self._heard_first is None else time.monotonic() - self._heard_first

    def judged(self, grace: float) -> Health:
        """Return how it is; without a process it is live for the grace, in seconds."""
        if self._absent_since is None:
            return self.health
        absent = time.monotonic() - self._absent_since
        return Health(live=absent <= grace, ready=False, reason=f"{self.health.reason}, for {absent:.0f} s")

    async def live(self, changed: Callable[["WorkerProcess"], None]) -> int:
        """Start the process, and stay with it until it has ended.

        Args:
            changed: Called when it says for the first time how it is, and whenever that changes.

        Returns:
            How it ended: ``status``.

        Raises:
            OSError: It cannot be started.

        On cancellation the process is killed.
        """
        self._heard_first = None
        self._control_socket, theirs = await SupervisorChannel.pair()
        try:
            with theirs:
                descriptor = theirs.fileno()
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    "--control-socket",
                    str(descriptor),
                    stdin=DEVNULL,
                    pass_fds=(descriptor,),
                    # A terminal's Ctrl-C must reach us only: a process that hears of it twice stops at once.
                    start_new_session=True,
                )
            self.tell(self._told)
            await self._listen(self._control_socket, self._process, changed)
            self.status = await self._end(self._process)
            return self.status
        finally:
            self._absent_since = self._absent_since or time.monotonic()
            self._control_socket.close()
            self._control_socket = None
            if self._process is not None and self._process.returncode is None:
                self._process.kill()
                await self._process.wait()

    def tell(self, what: bytes) -> None:
        """Tell the process, and all that may follow it, to ``STOP`` or to ``HURRY``."""
        self._told = what
        if self._control_socket is not None and what:
            self._control_socket.tell(what)

    def kill(self) -> None:
        """Kill the process, if there is one."""
        if self._process is not None and self._process.returncode is None:
            _log.warning("%s does not end; it is killed", self)
            self._process.kill()

    async def _listen(
        self, control_socket: SupervisorChannel, process: Process, changed: Callable[["WorkerProcess"], None]
    ) -> None:
        while True:
            try:
                async with asyncio.timeout(self._most_silence):
                    report = await control_socket.report()
            except TimeoutError:
                _log.error("%s has been stuck for %g s; it is killed", self, self._most_silence)
                process.kill()
                return
            if report is None:
                return
            is_news = self._heard_first is None or report != self.health
            self.health = report
            self._absent_since = None
            if self._heard_first is None:
                self._heard_first = time.monotonic()
            if is_news:
                changed(self)

    async def _end(self, process: Process) -> int:
        try:
            async with asyncio.timeout(_END_SECONDS):
                return await process.wait()
        except TimeoutError:
            self.kill()
            return await process.wait()
