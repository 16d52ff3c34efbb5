"""The worker process: a process that is started with a control socket, and restarted if it ends."""

import asyncio
import logging
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from eventstore.backoff import Backoff
from worker.supervision.control_socket import Figures, SupervisorChannel
from worker.supervision.health import Health

__all__ = ["WorkerProcess", "started"]

_log = logging.getLogger(__name__)

# How long a process may take to end after it has closed its control socket.
_END_SECONDS = 30.0


async def started(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, log: IO[bytes] | None = None
) -> tuple[Process, SupervisorChannel]:
    """Start a worker process.

    Args:
        command: The command that starts it; the option for its control socket is added.
        environment: Its complete environment; by default this process's.
        log: The file for its output; by default this process's output.

    Raises:
        OSError: It cannot be started.
    """
    channel, theirs = await SupervisorChannel.pair()
    try:
        with theirs:
            descriptor = theirs.fileno()
            process = await asyncio.create_subprocess_exec(
                *command,
                "--control-socket",
                str(descriptor),
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=(descriptor,),
                # A terminal's Ctrl-C must reach this process only: a worker that gets it twice stops at once.
                start_new_session=True,
            )
    except BaseException:
        channel.close()
        raise
    return process, channel


class WorkerProcess:
    """A supervisor's worker process, which can be started again after it has ended.

    Args:
        number: Its number, from 1.
        command: The command that starts it; the option for its control socket is added.
        longest_ready: How long it may go without a report before it no longer counts as ready, in seconds.
        most_silence: How long it may go without a report before it counts as stuck and is killed, in seconds.
        restarts: The delays before restarts.

    Attributes:
        number: Its number, from 1.
        restarts: The delays before restarts; reset by the supervisor after the process was useful for long enough.
        status: How it ended last: an exit status, or the negative number of a signal. None before the first end.
        health: Its last report.
    """

    def __init__(
        self, number: int, command: Sequence[str], *, longest_ready: float, most_silence: float, restarts: Backoff
    ) -> None:
        self.number = number
        self.restarts = restarts
        self.status: int | None = None
        self.health = Health(live=True, ready=False, reason="starting")
        self._command = command
        self._longest_ready = longest_ready
        self._most_silence = most_silence
        self._process: Process | None = None
        self._channel: SupervisorChannel | None = None
        self._told = b""
        # None while there is a process that has reported.
        self._absent_since: float | None = time.monotonic()
        self._first_report_at: float | None = None
        self._last_report_at = 0.0

    def __str__(self) -> str:
        """Return its name for the log."""
        return f"worker {self.number}" + ("" if self._process is None else f" (process {self._process.pid})")

    @property
    def has_started(self) -> bool:
        """Whether it has reported since its last start: otherwise it has nothing to drain."""
        return self._first_report_at is not None

    @property
    def useful_for(self) -> float:
        """How long ago it reported first since its last start, in seconds; 0 if it has not."""
        return 0.0 if self._first_report_at is None else time.monotonic() - self._first_report_at

    def judged(self, grace: float) -> Health:
        """Return its health; while no process runs, it counts as live for ``grace`` seconds.

        A process that has not reported for a while is not ready: something blocks its event loop.
        """
        if self._absent_since is None:
            silent = time.monotonic() - self._last_report_at
            if silent <= self._longest_ready:
                return self.health
            return Health(live=self.health.live, ready=False, reason=f"it has not reported for {silent:.0f} s")
        absent = time.monotonic() - self._absent_since
        return Health(live=absent <= grace, ready=False, reason=f"{self.health.reason}, for {absent:.0f} s")

    async def run(self, changed: Callable[["WorkerProcess"], None]) -> int:
        """Start the process, and wait until it has ended.

        Args:
            changed: Called with this object at the first report, and whenever the health changes.

        Returns:
            How it ended, as in ``status``.

        Raises:
            OSError: It cannot be started.

        On cancellation the process is killed.
        """
        self._first_report_at = None
        try:
            self._process, self._channel = await started(self._command)
            self.tell(self._told)
            await self._listen(self._channel, self._process, changed)
            self.status = await self._end(self._process)
            return self.status
        finally:
            self._absent_since = self._absent_since or time.monotonic()
            if self._channel is not None:
                self._channel.close()
                self._channel = None
            if self._process is not None and self._process.returncode is None:
                self._process.kill()
                await self._process.wait()

    def tell(self, what: bytes) -> None:
        """Send ``STOP`` or ``HURRY`` to the process, and to all that are started after it."""
        self._told = what
        if self._channel is not None and what:
            self._channel.tell(what)

    def kill(self) -> None:
        """Kill the process, if it runs."""
        if self._process is not None and self._process.returncode is None:
            _log.warning("%s does not end; it is killed", self)
            self._process.kill()

    async def _listen(
        self, channel: SupervisorChannel, process: Process, changed: Callable[["WorkerProcess"], None]
    ) -> None:
        while True:
            try:
                async with asyncio.timeout(self._most_silence):
                    report = await channel.report()
            except TimeoutError:
                _log.error("%s has been stuck for %g s; it is killed", self, self._most_silence)
                process.kill()
                return
            if report is None:
                return
            if isinstance(report, Figures):
                # The process has logged them itself.
                continue
            is_news = self._first_report_at is None or report != self.health
            self.health = report
            self._last_report_at = time.monotonic()
            self._absent_since = None
            if self._first_report_at is None:
                self._first_report_at = time.monotonic()
            if is_news:
                changed(self)

    async def _end(self, process: Process) -> int:
        try:
            async with asyncio.timeout(_END_SECONDS):
                return await process.wait()
        except TimeoutError:
            self.kill()
            return await process.wait()
