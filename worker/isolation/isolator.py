"""Isolation: commands that may have killed a worker are decided in a process of their own.

A decider that ends its process, by a bug in a library or for want of memory, takes all commands along that the process
holds. The broker delivers them again, and counts; whoever was there each time is a suspect. Suspects are decided one at
a time by a process that is there for nothing else: if it dies, it is known by which command, and nobody else is harmed.
"""

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from dataclasses import replace

from worker.counters import Counters
from worker.errors import IsolationFailed, KilledItsProcess
from worker.isolation.protocol import DecideRequest, DecideResponse, Setup, read_frame, write_frame
from worker.message import CommandMessage
from worker.settings import Settings
from worker.settlement import Action, Answer, FailedElsewhere
from worker.supervision.exit_status import how_it_ended
from worker.telemetry.spans import injected

__all__ = ["Isolation"]

_START_SECONDS = 30.0
_IDLE_SECONDS = 60.0
_END_SECONDS = 5.0
# What the process may take beyond the handler deadline, which it keeps itself, for all its attempts together, unless it
# is stuck.
_STUCK_SECONDS = 5.0
# Modules are found where we find them, whichever way we were started.
_LAUNCH = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from worker.isolation.child import main
main(int(sys.argv[2]))
"""


class _Gone(Exception):
    """The process has ended, or is stuck.

    Attributes:
        had_it: Whether it had the errand by then.
        stuck: Whether it is stuck.
    """

    def __init__(self, *, had_it: bool, stuck: bool = False) -> None:
        super().__init__()
        self.had_it = had_it
        self.stuck = stuck


async def _launch() -> tuple[Process, asyncio.StreamReader, asyncio.StreamWriter]:
    """Start the process, with a socket to it."""
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
                # Only we end it: a signal for all of a group would look as if its command had killed it.
                start_new_session=True,
                # It traces; what it would measure as well, it would export under our name.
                env={**os.environ, "OTEL_METRICS_EXPORTER": "none"},
            )
    except BaseException:
        writer.close()
        raise
    return process, reader, writer


class _Child:
    """A process that decides suspects."""

    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, settings: Settings) -> "_Child":
        try:
            child = cls(*await _launch())
        except OSError as error:  # no memory, no process or no descriptor left: no command's doing, and it may pass
            raise IsolationFailed(f"the process for suspects cannot be started: {error}") from error
        try:
            await child._set_up(settings)
        except BaseException:
            await child.kill()
            raise
        return child

    async def ask(self, errand: DecideRequest, *, within: float) -> DecideResponse:
        """Have a command decided.

        Raises:
            _Gone: The process has ended, or has said nothing for so many seconds.
        """
        had_it = False
        try:
            async with asyncio.timeout(within):
                await write_frame(self._writer, errand)
                await read_frame(self._reader, DecideResponse)
                had_it = True
                return await read_frame(self._reader, DecideResponse)
        except TimeoutError:
            raise _Gone(had_it=had_it, stuck=True) from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise _Gone(had_it=had_it) from None

    async def kill(self) -> int:
        """End the process at once, if it still runs, and return how it ended."""
        self._writer.close()
        # Before anything is awaited: one that computes would go on for ever if our own cancellation came between.
        self._kill()
        return await self._process.wait()

    async def let_go(self) -> None:
        """Let the process end by itself, which it does when nobody is at the other end."""
        await self._ended()

    async def how_it_ended(self) -> int:
        """Return how a process ended that is gone. Its end of the socket closes a moment before."""
        return await self._ended()

    async def _ended(self) -> int:
        self._writer.close()
        try:
            async with asyncio.timeout(_END_SECONDS):
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
        try:
            async with asyncio.timeout(_START_SECONDS):
                await write_frame(self._writer, Setup(settings=settings.model_dump(mode="json")))
                report = await read_frame(self._reader, DecideResponse)
        except TimeoutError:
            raise IsolationFailed(f"the process for suspects did not start within {_START_SECONDS:g} s") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise IsolationFailed("the process for suspects ended while it started") from None
        if report.failure is not None:
            failure = FailedElsewhere(report.failure)
            if report.failure.verdict.action is Action.PAUSE:
                raise failure
            raise IsolationFailed(f"the process for suspects cannot start: {failure}")


class Isolation:
    """Has suspects decided, one at a time, by one process. It is started when there are any, and ended without.

    Args:
        settings: What the process works with, too.
        counters: Where its attempts and conflicts are counted.
    """

    def __init__(self, settings: Settings, counters: Counters) -> None:
        self._settings = settings
        self._counters = counters
        self._child: _Child | None = None
        self._turn = asyncio.Lock()
        self._idle: asyncio.Task[None] | None = None

    async def process(self, domain_name: str, message: CommandMessage) -> Answer:
        """Find the answer to a command and put it on record, as ``Scheduler.process`` does.

        Raises:
            KilledItsProcess: The command ended the process that decided it, or it never came back.
            IsolationFailed: The process cannot be started, or ends before it has the command.
            FailedElsewhere: Whatever was raised there.

        On cancellation the process is killed; the answer may already be on record.
        """
        async with self._turn:
            self._stop_waiting()
            errand = DecideRequest(domain_name=domain_name, message=replace(message, headers=injected()))
            report = await self._ask(errand)
            self._idle = asyncio.create_task(self._end_when_idle())
        self._counters.attempts += report.attempts
        self._counters.conflicts += report.conflicts
        self._counters.stale_conflicts += report.stale_conflicts
        if report.failure is not None:
            raise FailedElsewhere(report.failure)
        if report.processed is None:
            raise IsolationFailed("the process for suspects said neither an answer nor a failure")
        return report.processed

    async def close(self) -> None:
        """End the process, if there is one."""
        async with self._turn:
            self._stop_waiting()
            await self._drop()

    async def _ask(self, errand: DecideRequest) -> DecideResponse:
        if self._child is None:
            self._child = await _Child.start(self._settings)
        child = self._child
        within = self._settings.worker_handler_timeout + _STUCK_SECONDS
        try:
            return await child.ask(errand, within=within)
        except _Gone as gone:
            self._child = None
            status = await child.kill() if gone.stuck else await child.how_it_ended()
            if not gone.had_it:
                raise IsolationFailed(f"the process for suspects {how_it_ended(status)} before it had any") from None
            if gone.stuck:
                raise KilledItsProcess(
                    f"the process that decided it did not come back within {within:g} s, and was killed"
                ) from None
            raise KilledItsProcess(f"the process that decided it {how_it_ended(status)}") from None
        except BaseException:
            # It still works on this one: what it says next would be taken for the answer to another.
            self._child = None
            await child.kill()
            raise

    def _stop_waiting(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    async def _end_when_idle(self) -> None:
        await asyncio.sleep(_IDLE_SECONDS)
        child, self._child = self._child, None
        if child is not None:
            await child.let_go()

    async def _drop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.let_go()
