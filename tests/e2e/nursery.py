"""Starts the command ``worker`` again and again, in processes that have its modules loaded already.

Loading them takes far longer than most commands do. So one process loads them, and each call is a copy of it made by
``fork``: a process of its own, with its own arguments, environment, folder and files. What Python itself does at its
start is not repeated. ``E2E_FRESH=1`` has every call start a new Python instead.

As a program, this module is the process that is copied. It ends with whoever started it.
"""

import asyncio
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

# A call with all its arguments and its environment is one message.
_MOST_BYTES = 1 << 17
_STREAMS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a process is to be.

    Attributes:
        arguments: What follows ``worker`` on the command line.
        environment: Its whole environment.
        folder: Where it is called.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: str

    def become(self) -> None:
        """Be ``python -m worker`` from here on."""
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        sys.path[0] = self.folder
        sys.argv = ["worker", *self.arguments]
        # Who starts others of its kind starts them as it was started itself.
        sys.orig_argv[:] = [sys.executable, "-m", "worker", *self.arguments]
        runpy.run_module("worker", run_name="__main__", alter_sys=True)


class Nursery:
    """The process that has all modules loaded, to whoever wants copies of it."""

    def __init__(self, address: str) -> None:
        self._address = address

    @classmethod
    @contextmanager
    def opened(cls, environment: Mapping[str, str]) -> "Iterator[Nursery]":
        """Have the process until the end of the ``with``."""
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="nursery-"))
            address = f"{folder}/calls"
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
                listener.bind(address)
                listener.listen(64)
                # Calls wait in the listener's queue until the modules are loaded.
                process = stack.enter_context(
                    subprocess.Popen(
                        [sys.executable, __file__, str(listener.fileno())],
                        env=environment,
                        cwd=Path(__file__).parents[2],
                        pass_fds=[listener.fileno()],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.DEVNULL,
                    )
                )
            assert process.stdin is not None
            stack.enter_context(process.stdin)
            yield cls(address)

    async def run(self, call: Call, stdin: bytes) -> tuple[int, bytes, bytes]:
        """Have a copy make a call; return its exit status and what it printed on both streams."""
        message = json.dumps([list(call.arguments), dict(call.environment), call.folder]).encode()
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection,
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as output,
            tempfile.TemporaryFile() as complaint,
        ):
            given.write(stdin)
            given.seek(0)
            connection.connect(self._address)
            socket.send_fds(connection, [message], [each.fileno() for each in (given, output, complaint)])
            connection.setblocking(False)
            status = int(await asyncio.get_running_loop().sock_recv(connection, 16))
            output.seek(0)
            complaint.seek(0)
            return status, output.read(), complaint.read()


def _serve(listener: socket.socket) -> None:
    """Answer calls until nobody holds the other end of standard input; return in each copy, as what it is to be."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        readable, _, _ = select.select([listener.fileno(), 0], [], [])
        if 0 in readable:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _answer(connection)
            return
        connection.close()


def _answer(connection: socket.socket) -> None:
    """Wait for a copy's end and tell its status; return in the copy when it has become what was called, and ended."""
    message, streams, _, _ = socket.recv_fds(connection, _MOST_BYTES, _STREAMS)
    if (pid := os.fork()) == 0:
        connection.close()
        os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        arguments, environment, folder = json.loads(message)
        Call(arguments=arguments, environment=environment, folder=folder).become()
        return
    end = os.pidfd_open(pid)
    # Whoever hangs up does not wait any more.
    readable, _, _ = select.select([end, connection.fileno()], [], [])
    if end not in readable:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if end in readable:
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[2])
    from worker.cli.app import COMMANDS

    for entries in COMMANDS.values():
        for entry in entries:
            entry.load()
    # The copies' collections leave alone what they share, which would have to be copied for it.
    gc.collect()
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))
