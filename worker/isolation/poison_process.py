"""The poison process: the worker's end of the process that decides possibly poisonous messages."""

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from dataclasses import dataclass

from worker.errors import IsolationFailed
from worker.isolation.protocol import DecideRequest, DecideResponse, Ready, Setup, read_frame, write_frame
from worker.settings import Settings
from worker.settlement import FailedElsewhere
from worker.supervision.exit_status import how_it_ended

__all__ = ["PoisonProcess", "ProcessLimits", "ProcessLost"]

_GONE = (asyncio.IncompleteReadError, ConnectionError)
# The child imports from the same places as this process, however this one was started.
_LAUNCH = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from worker.isolation.child import main
main(int(sys.argv[2]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLimits:
    """The time limits of a process that decides possibly poisonous messages. All times in seconds.

    Attributes:
        start: To start, and to connect to the database.
        stuck: Beyond the time for a command. The process observes that itself, unless the command's code does not
            return.
        end: To end by itself.
        idle: How long a process is kept without a command.
    """

    start: float = 30.0
    stuck: float = 5.0
    end: float = 5.0
    idle: float = 60.0


class ProcessLost(Exception):
    """Raised when a process has ended, or was killed because it was stuck.

    Attributes:
        ending: How it ended, for people.
        held: For how long it had had the command, in seconds; None if it did not have it.
        stuck: Whether it was stuck with the command.
    """

    def __init__(self, ending: str, *, held: float | None, stuck: bool = False) -> None:
        super().__init__(ending)
        self.ending = ending
        self.held = held
        self.stuck = stuck


class PoisonProcess:
    """A process that has loaded the domains and decides one command after another.

    It connects to the database when it gets its first command.

    Args:
        process: The operating system's process.
        reader: The stream of its responses.
        writer: The stream of requests to it.
        limits: Its time limits.
    """

    def __init__(
        self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: ProcessLimits
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._limits = limits

    @classmethod
    async def start(cls, settings: Settings, limits: ProcessLimits) -> "PoisonProcess":
        """Start a process, and wait until it has loaded the domains.

        Raises:
            IsolationFailed: It cannot be started. No command is the cause, and it may be temporary.

        On cancellation the process is killed.
        """
        try:
            started = cls(*await _launched(), limits)
        except OSError as error:  # no memory, no process or no descriptor is left
            raise IsolationFailed(f"the process for poison messages cannot be started: {error}") from error
        try:
            await started._set_up(settings)
        except BaseException:
            await started.kill()
            raise
        return started

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, as far as is known."""
        return self._process.returncode is not None or self._reader.at_eof()

    async def decide(self, request: DecideRequest) -> DecideResponse:
        """Have a command decided.

        Raises:
            FailedElsewhere: The process cannot use the database. It does not have the command, and can be used again.
            ProcessLost: It has ended, or was killed because it did not respond in time.

        On cancellation the process may still decide the command: kill it.
        """
        since: float | None = None
        seconds = self._limits.start
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                await write_frame(self._writer, request)
                ready = await read_frame(self._reader, Ready)
                if ready.failure is not None:
                    raise FailedElsewhere(ready.failure)
                since = asyncio.get_running_loop().time()
                seconds = request.within + self._limits.stuck
                limit.reschedule(since + seconds)
                return await read_frame(self._reader, DecideResponse)
        except TimeoutError:
            held = _since(since)
            await self.kill()
            raise ProcessLost(
                f"did not come back within {seconds:g} s, and was killed", held=held, stuck=True
            ) from None
        except _GONE:
            held = _since(since)
            raise ProcessLost(how_it_ended(await self.let_go()), held=held) from None

    async def kill(self) -> int:
        """End the process at once, if it still runs, and return its exit status."""
        self._writer.close()
        # Before any ``await``: if a cancellation came first, a process that computes would go on for ever.
        self._kill()
        return await self._process.wait()

    async def let_go(self) -> int:
        """Close the socket, wait until the process ends by itself, or kill it, and return its exit status."""
        self._writer.close()
        try:
            async with asyncio.timeout(self._limits.end):
                return await self._process.wait()
        except TimeoutError:
            pass
        finally:
            self._kill()
        return await self._process.wait()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def _set_up(self, settings: Settings) -> None:
        seconds = self._limits.start
        try:
            async with asyncio.timeout(seconds):
                await write_frame(self._writer, Setup(settings=settings))
                ready = await read_frame(self._reader, Ready)
        except TimeoutError:
            raise IsolationFailed(f"the process for poison messages did not start within {seconds:g} s") from None
        except _GONE:
            ending = how_it_ended(await self.let_go())
            raise IsolationFailed(f"the process for poison messages {ending} while it started") from None
        if ready.failure is not None:
            raise IsolationFailed(f"the process for poison messages cannot start: {ready.failure.text}")


def _since(moment: float | None) -> float | None:
    return None if moment is None else asyncio.get_running_loop().time() - moment


async def _launched() -> tuple[Process, asyncio.StreamReader, asyncio.StreamWriter]:
    """Start the process with a socket, and return it with the socket's streams."""
    ours, theirs = socket.socketpair()
    try:
        reader, writer = await asyncio.open_unix_connection(sock=ours)
    except BaseException:
        ours.close()
        theirs.close()
        raise
    try:
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *(f"-W{option}" for option in sys.warnoptions),
                "-c",
                _LAUNCH,
                json.dumps(sys.path),
                str(theirs.fileno()),
                stdin=DEVNULL,
                pass_fds=(theirs.fileno(),),
                # Only the worker ends it: a signal to the process group would look as if the command had killed it.
                start_new_session=True,
                # It exports spans, but no metrics: they would be taken for the worker's.
                env={**os.environ, "OTEL_METRICS_EXPORTER": "none"},
            )
    except BaseException:
        writer.close()
        raise
    return process, reader, writer
