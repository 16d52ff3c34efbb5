"""The fork server: starts the command ``worker`` in forks of a process that has its modules loaded.

Loading them takes far longer than most commands run, and about as long as everything else in a worker's test. So one
process loads them, and each call is a copy of it made by ``fork``, with its own arguments, environment, folder, session
and files. Python's start-up is not repeated: calls for which it makes a difference, or for which the import of a
package does, start a new Python; with ``FRESH=1`` all calls do.
"""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from tests.support.copied_process import Copy, connected, told

__all__ = ["Call", "ForkServer", "kept", "started"]

_ROOT = Path(__file__).parents[2]
_PROGRAM = Path(__file__).with_name("fork_server_process.py")
# Variables that a program needs in order to start at all.
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
# Python reads these at its start, and packages at their import.
_READ_EARLY = re.compile(r"PYTHON|LC_|OTEL_PYTHON_|OTEL_PROPAGATORS|OTEL_\w+_LIMIT$|SET_ASIDE_|_?TYPER_|TERMINAL_WIDTH")


def kept() -> dict[str, str]:
    """Return the variables of this process's environment that a program needs to start."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of ``worker``.

    Attributes:
        arguments: What follows ``worker`` on the command line.
        environment: Its whole environment.
        folder: Its working directory.
        strict: Whether each warning is an error, as with ``python -W error``.
        fresh: Whether Python's start-up is part of the test.
        descriptors: Descriptors of this process that it inherits under the same numbers.
    """

    arguments: Sequence[str] = ()
    environment: Mapping[str, str]
    folder: str = str(_ROOT)
    strict: bool = False
    fresh: bool = False
    descriptors: Sequence[int] = ()

    @property
    def program(self) -> tuple[str, ...]:
        """The command line for a new Python."""
        options = ("-W", "error") if self.strict else ()
        return (sys.executable, *options, "-m", "worker", *self.arguments)

    def is_for_a_copy(self) -> bool:
        """Whether a copy behaves as a new Python would."""
        return not self.fresh and not any(value and _READ_EARLY.match(name) for name, value in self.environment.items())


class ForkServer:
    """The client of the process that has all modules loaded."""

    _shared: "ClassVar[ForkServer | None]" = None
    _resources: ClassVar[ExitStack] = ExitStack()

    def __init__(self, address: str) -> None:
        self._address = address

    @classmethod
    def shared(cls) -> "ForkServer | None":
        """Return this process's fork server, started on first use; None if each call starts a new Python."""
        if cls._shared is None and not os.environ.get("FRESH"):
            cls._shared = cls._resources.enter_context(cls.opened())
        return cls._shared

    @classmethod
    def close_shared(cls) -> None:
        """End this process's fork server."""
        cls._shared = None
        cls._resources.close()

    @classmethod
    @contextmanager
    def opened(cls) -> "Iterator[ForkServer]":
        """Start the fork server for the ``with``."""
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fork_server-"))
            address = f"{folder}/calls"
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
                listener.bind(address)
                listener.listen(64)
                # Calls wait in the listener's queue until the modules are loaded.
                process = stack.enter_context(
                    subprocess.Popen(
                        [sys.executable, "-W", "error", str(_PROGRAM), str(listener.fileno())],
                        env=kept(),
                        cwd=_ROOT,
                        pass_fds=[listener.fileno()],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.DEVNULL,
                    )
                )
            assert process.stdin is not None
            stack.enter_context(process.stdin)
            yield cls(address)

    async def run(self, call: Call, stdin: bytes) -> tuple[int, bytes, bytes]:
        """Run a call in a copy; return its exit status, standard output and standard error."""
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as output,
            tempfile.TemporaryFile() as complaint,
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection,
        ):
            given.write(stdin)
            given.seek(0)
            _, end = await self._ask(connection, call, [each.fileno() for each in (given, output, complaint)])
            os.close(end)
            status = await told(connection)
            output.seek(0)
            complaint.seek(0)
            return status, output.read(), complaint.read()

    async def start(
        self, call: Call, *, stdin: int | None = None, stdout: int | None = None, stderr: int | None = None
    ) -> Process:
        """Start a call in a copy, as ``asyncio.create_subprocess_exec`` starts a program.

        Args:
            call: The call.
            stdin: ``PIPE``, ``DEVNULL``, a descriptor, or None for this process's own.
            stdout: The same.
            stderr: The same.
        """
        with ExitStack() as theirs, ExitStack() as ours:
            copy = Copy(ours.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)))
            streams = []
            for number, stream in enumerate((stdin, stdout, stderr)):
                if stream == PIPE:
                    reading, writing = os.pipe()
                    given, kept = (reading, writing) if number == 0 else (writing, reading)
                    theirs.callback(os.close, given)
                    file = ours.enter_context(os.fdopen(kept, "wb" if number == 0 else "rb", buffering=0))
                    setattr(copy, ("stdin", "stdout", "stderr")[number], file)
                    streams.append(given)
                elif stream == DEVNULL:
                    streams.append(os.open(os.devnull, os.O_RDWR))
                    theirs.callback(os.close, streams[-1])
                else:
                    streams.append(number if stream is None else stream)
            copy.pid, copy.end = await self._ask(copy.connection, call, streams)
            ours.pop_all()
        return await connected(copy, call.program, stdin=stdin, stdout=stdout, stderr=stderr)

    async def _ask(self, connection: socket.socket, call: Call, streams: Sequence[int]) -> tuple[int, int]:
        """Send a call; return the copy's id and pidfd."""
        message = json.dumps(asdict(call)).encode()
        connection.connect(self._address)
        socket.send_fds(connection, [message], [*streams, *call.descriptors])
        connection.setblocking(False)
        await _readable(connection)
        pid, descriptors, _, _ = socket.recv_fds(connection, 16, 1)
        return int(pid), descriptors[0]


async def started(
    call: Call, *, stdin: int | None = None, stdout: int | None = None, stderr: int | None = None
) -> Process:
    """Start a call: in a copy, or in a new Python if that makes a difference.

    Args:
        call: The call. The process has its own session.
        stdin: ``PIPE``, ``DEVNULL``, a descriptor, or None for this process's own.
        stdout: The same.
        stderr: The same.
    """
    fork_server = ForkServer.shared() if call.is_for_a_copy() else None
    if fork_server is not None:
        return await fork_server.start(call, stdin=stdin, stdout=stdout, stderr=stderr)
    return await asyncio.create_subprocess_exec(
        *call.program,
        env=call.environment,
        cwd=call.folder,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=call.descriptors,
        start_new_session=True,
    )


async def _readable(connection: socket.socket) -> None:
    """Wait until a socket is readable."""
    loop, there = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, there.set)
    try:
        await there.wait()
    finally:
        loop.remove_reader(connection)
