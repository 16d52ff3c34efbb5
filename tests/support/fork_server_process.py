"""The process that has the modules of ``worker`` loaded and forks its calls. See ``fork_server``.

It ends with the process that started it.
"""

import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
sys.path[0] = str(_ROOT)

from tests.support.fork_server import Call  # noqa: E402  it can be imported only now

# A call with its arguments, environment and descriptors is one message.
_MOST_BYTES = 1 << 17
_MOST_DESCRIPTORS = 16
# A copy's descriptors are moved above this number first: above every number that a call can name.
_ASIDE = 512
# The warning filter of ``-W error``.
_STRICT = ("error", None, Warning, None, 0)
# Modules that commands import where they use them.
_LOADED_LATE = (
    "asyncio.unix_events",
    "opentelemetry.exporter.otlp.proto.grpc.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "uvloop",
    "worker.isolation.child",
    "worker.process",
)


def _serve(listener: socket.socket) -> None:
    """Serve calls until standard input is closed; in each copy, return after the call."""
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
    """Fork a copy, wait for its end and send its status; in the copy, return when the call has ended."""
    message, descriptors, _, _ = socket.recv_fds(connection, _MOST_BYTES, _MOST_DESCRIPTORS)
    call = Call(**json.loads(message))
    if (pid := os.fork()) == 0:
        connection.close()
        os.setsid()
        _place(descriptors, [0, 1, 2, *call.descriptors])
        _open_streams()
        _become(call)
        return
    for descriptor in descriptors:
        os.close(descriptor)
    end = os.pidfd_open(pid)
    socket.send_fds(connection, [str(pid).encode()], [end])
    # A closed connection: the caller no longer waits for the status.
    readable, _, _ = select.select([end, connection.fileno()], [], [])
    if end not in readable:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if end in readable:
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(call: Call) -> None:
    """Run the program to its end."""
    os.chdir(call.folder)
    os.environ.clear()
    os.environ.update(call.environment)
    if not call.strict:
        sys.warnoptions.clear()
        warnings.filters.remove(_STRICT)  # type: ignore[attr-defined]  # a list; typeshed declares a sequence
    sys.path[0] = call.folder
    sys.argv = ["worker", *call.arguments]
    # A supervisor starts its worker processes with its own command line.
    sys.orig_argv[:] = call.program
    runpy.run_module("worker", run_name="__main__", alter_sys=True)


def _place(descriptors: Sequence[int], numbers: Sequence[int]) -> None:
    """Move descriptors to the given numbers."""
    aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, _ASIDE) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    for descriptor, number in zip(aside, numbers, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)


def _open_streams() -> None:
    """Reopen Python's standard streams on their present descriptors: terminals, pipes or files."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        how: dict[str, Any] = {"encoding": old.encoding, "errors": old.errors, "closefd": False}
        # As in a new Python: standard error is always line-buffered, the others only on a terminal.
        new = open(number, "w" if number else "r", buffering=1 if name == "stderr" else -1, **how)  # noqa: SIM115, PTH123  it stays open
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)


def _load() -> None:
    """Import what commands import, without starting anything."""
    from worker.cli.app import COMMANDS  # noqa: PLC0415  the client of the fork server must not load it

    for entries in COMMANDS.values():
        for entry in entries:
            entry.load()
    for name in _LOADED_LATE:
        importlib.import_module(name)
    # ``fork`` copies only the calling thread: locks of another thread would stay locked in the copy.
    assert len(list(Path("/proc/self/task").iterdir())) == 1
    # A garbage collection in a copy must not touch the shared pages, or they would be copied.
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _load()
    with socket.socket(fileno=int(sys.argv[1])) as calls:
        _serve(calls)
