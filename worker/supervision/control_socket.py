"""The control socket: connects a worker process with its supervisor.

One socket, in both directions. The worker process reports its health, so that one port can answer for several, and its
figures at its end; the supervisor tells it to stop. If either of them is gone, for whatever reason, the other one
notices: no worker process goes on without supervision.
"""

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass

from worker.supervision.health import Health

__all__ = ["HURRY", "STOP", "Figures", "SupervisorChannel", "WorkerChannel", "supervised"]

_log = logging.getLogger(__name__)

STOP = b"s"
"""Tells a process to drain. Sending it again has no effect, unlike a second signal."""
HURRY = b"h"
"""Tells a process to stop at once."""

_REPORT_SECONDS = 0.5
_FAREWELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The counts of a worker process at its end. A process that is killed reports none.

    Attributes:
        counts: The counts by name, as from ``Counters.report``.
    """

    counts: Mapping[str, int]


class SupervisorChannel:
    """The supervisor's end of a control socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def pair(cls) -> tuple["SupervisorChannel", socket.socket]:
        """Return a supervisor's end, and the socket to pass to the worker process."""
        ours, theirs = socket.socketpair()
        return cls(*await asyncio.open_unix_connection(sock=ours)), theirs

    def tell(self, what: bytes) -> None:
        """Send ``STOP`` or ``HURRY`` to the process. It is no error if the process has ended."""
        self._writer.write(what)

    async def report(self) -> Health | Figures | None:
        """Wait for the next report; None if the process has ended, or closed its end."""
        with suppress(OSError, ValueError, TypeError):
            match json.loads(await self._reader.readline()):
                case {"health": health}:
                    return Health(**health)
                case {"figures": counts}:
                    return Figures(counts=counts)
        return None

    def close(self) -> None:
        """Close the socket. A process that still runs drains."""
        self._writer.close()


class WorkerChannel:
    """The worker process's end of a control socket; without a socket, reports are dropped."""

    def __init__(self, writer: asyncio.StreamWriter | None) -> None:
        self._writer = writer

    @property
    def is_open(self) -> bool:
        """Whether there is a supervisor to report to."""
        return self._writer is not None

    @asynccontextmanager
    async def reporting(
        self, *, health: Callable[[], Health], figures: Callable[[], Mapping[str, int]]
    ) -> AsyncIterator[None]:
        """Report inside the ``async with``.

        Args:
            health: Returns the health; called for each report.
            figures: Returns the counts; called once, at the end.
        """
        if (writer := self._writer) is None:
            yield
            return
        task = asyncio.create_task(_report(writer, health))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            _write(writer, figures=dict(figures()))
            # A supervisor that does not read must not prevent the process from ending.
            with suppress(OSError):
                async with asyncio.timeout(_FAREWELL_SECONDS):
                    await writer.drain()


@asynccontextmanager
async def supervised(
    descriptor: int | None, *, stop: asyncio.Event, hurry: asyncio.Event
) -> AsyncIterator[WorkerChannel]:
    """Hold the worker process's end, and follow the supervisor's requests inside the ``async with``.

    Args:
        descriptor: The socket's file descriptor; None for a process without a supervisor.
        stop: Set when the supervisor requests it, or is gone.
        hurry: Set when the supervisor requests it.
    """
    if descriptor is None:
        yield WorkerChannel(None)
        return
    # Programs that this process starts must not inherit it: its end would not be noticed.
    os.set_inheritable(descriptor, False)
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=descriptor))
    listening = asyncio.create_task(_listen(reader, stop, hurry))
    try:
        yield WorkerChannel(writer)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        writer.close()


async def _report(writer: asyncio.StreamWriter, health: Callable[[], Health]) -> None:
    with suppress(OSError):
        while True:
            _write(writer, health=asdict(health()))
            await writer.drain()
            await asyncio.sleep(_REPORT_SECONDS)


async def _listen(reader: asyncio.StreamReader, stop: asyncio.Event, hurry: asyncio.Event) -> None:
    with suppress(OSError):
        while said := await reader.read(1):
            stop.set()
            if said == HURRY:
                hurry.set()
    if not stop.is_set():
        _log.warning("the supervisor has ended")
    stop.set()


def _write(writer: asyncio.StreamWriter, **report: Mapping[str, object]) -> None:
    writer.write(json.dumps(report).encode() + b"\n")
