"""A process that is not a child of this one, behind asyncio's interface of a subprocess."""

import asyncio
import os
import signal
import socket
from asyncio.base_subprocess import BaseSubprocessTransport
from asyncio.subprocess import Process, SubprocessStreamProtocol
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any, cast

__all__ = ["Copy", "connected", "told"]

_STREAM_LIMIT = 1 << 16


class Copy:
    """A copy of the fork server's process, with the methods of ``subprocess.Popen`` that asyncio calls.

    Args:
        connection: The socket on which its exit status will arrive.

    Attributes:
        connection: The same.
        pid: Its id.
        end: Its pidfd, which never refers to another process with the same id.
        returncode: Its exit status; None while it runs.
    """

    stdin: IO[bytes] | None = None
    stdout: IO[bytes] | None = None
    stderr: IO[bytes] | None = None
    returncode: int | None = None
    pid: int
    end: int

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        # The pidfd is closed once the exit status is known.
        if self.returncode is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.end, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Transport(BaseSubprocessTransport):
    """The transport between a copy and asyncio's streams."""

    def _start(self, *, copy: Copy, **_options: Any) -> None:  # type: ignore[override]  # asyncio calls it with these arguments
        self._proc = cast("Any", copy)  # it has the methods of Popen that asyncio calls
        self._ending = asyncio.create_task(self._await_end(copy))

    async def _await_end(self, copy: Copy) -> None:
        try:
            status = await told(copy.connection)
        finally:
            copy.connection.close()
            os.close(copy.end)
        self._process_exited(status)


async def connected(
    copy: Copy, program: Sequence[str], *, stdin: int | None, stdout: int | None, stderr: int | None
) -> Process:
    """Return the process as ``asyncio.create_subprocess_exec`` does, with a stream for each ``PIPE``."""
    loop = asyncio.get_running_loop()
    protocol = SubprocessStreamProtocol(limit=_STREAM_LIMIT, loop=loop)
    waiter = loop.create_future()
    transport = _Transport(loop, protocol, program, False, stdin, stdout, stderr, 0, waiter=waiter, copy=copy)
    await waiter
    return Process(transport, protocol, loop)


async def told(connection: socket.socket) -> int:
    """Wait for a copy's exit status."""
    return int(await asyncio.get_running_loop().sock_recv(connection, 16))
