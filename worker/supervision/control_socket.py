"""The control_socket: what ties a worker process to its supervisor.

One socket, both ways. The process reports its health, so that one port can answer for all; the supervisor tells it to
stop. When either end is gone, however it ended, the other one knows: nobody lives on unnoticed.
"""

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict

from worker.supervision.health import Health

__all__ = ["HURRY", "STOP", "SupervisorChannel", "tied"]

_log = logging.getLogger(__name__)

STOP = b"s"
"""Tells a process to drain. Saying it again changes nothing, unlike a second signal."""
HURRY = b"h"
"""Tells a process to stop at once."""

_REPORT_SECONDS = 0.5


class SupervisorChannel:
    """The supervisor's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def pair(cls) -> tuple["SupervisorChannel", socket.socket]:
        """Return a supervisor's end, and the socket that its process is to be given."""
        ours, theirs = socket.socketpair()
        return cls(*await asyncio.open_unix_connection(sock=ours)), theirs

    def tell(self, what: bytes) -> None:
        """Tell the process to ``STOP`` or to ``HURRY``. Whether it still lives does not matter."""
        self._writer.write(what)

    async def report(self) -> Health | None:
        """Wait for the next report; None when the process has ended, or has no more to say."""
        with suppress(OSError, ValueError, TypeError):
            return Health(**json.loads(await self._reader.readline()))
        return None

    def close(self) -> None:
        """Let go of the process."""
        self._writer.close()


@asynccontextmanager
async def tied(
    descriptor: int | None, health: Callable[[], Health], *, stop: asyncio.Event, hurry: asyncio.Event
) -> AsyncIterator[None]:
    """Hold the process's end: report for as long as the ``async with`` lasts, and listen.

    Args:
        descriptor: The socket's file descriptor; None for a process without a supervisor.
        health: Asked for each report.
        stop: Set when the supervisor says so, or is gone.
        hurry: Set when the supervisor says so.
    """
    if descriptor is None:
        yield
        return
    # Programs that we start shall not keep it open.
    os.set_inheritable(descriptor, False)
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=descriptor))
    tasks = [asyncio.create_task(_report(writer, health)), asyncio.create_task(_listen(reader, stop, hurry))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()


async def _report(writer: asyncio.StreamWriter, health: Callable[[], Health]) -> None:
    with suppress(OSError):
        while True:
            writer.write(json.dumps(asdict(health())).encode() + b"\n")
            await writer.drain()
            await asyncio.sleep(_REPORT_SECONDS)


async def _listen(reader: asyncio.StreamReader, stop: asyncio.Event, hurry: asyncio.Event) -> None:
    with suppress(OSError):
        while said := await reader.read(1):
            stop.set()
            if said == HURRY:
                hurry.set()
    if not stop.is_set():
        _log.warning("the supervisor is gone")
    stop.set()
