"""The process that has the modules of ``worker`` loaded, and that its calls are copies of. See ``nursery``.

It ends with whoever started it.
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

from tests.support.nursery import Call  # noqa: E402  only now it can be found

# A call with all its arguments and its environment is one message, with all its descriptors.
_MOST_BYTES = 1 << 17
_MOST_DESCRIPTORS = 16
# Where a copy's descriptors lie until they are where they belong: above all that a call can name.
_ASIDE = 512
# The filter that ``-W error`` makes.
_STRICT = ("error", None, Warning, None, 0)
# What commands load where they use it.
_LOADED_LATE = (
    "asyncio.unix_events",
    "opentelemetry.exporter.otlp.proto.grpc.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "uvloop",
    "worker.isolation.child",
    "worker.process",
)


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
    # Whoever hangs up does not wait any more.
    readable, _, _ = select.select([end, connection.fileno()], [], [])
    if end not in readable:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if end in readable:
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(call: Call) -> None:
    """Be the program, to its end."""
    os.chdir(call.folder)
    os.environ.clear()
    os.environ.update(call.environment)
    if not call.strict:
        sys.warnoptions.clear()
        warnings.filters.remove(_STRICT)  # type: ignore[attr-defined]  # a list, which typeshed calls a sequence
    sys.path[0] = call.folder
    sys.argv = ["worker", *call.arguments]
    # Who starts others of its kind starts them as it was started itself.
    sys.orig_argv[:] = call.program
    runpy.run_module("worker", run_name="__main__", alter_sys=True)


def _place(descriptors: Sequence[int], numbers: Sequence[int]) -> None:
    """Give descriptors the numbers that they are known by, whichever they have."""
    aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, _ASIDE) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    for descriptor, number in zip(aside, numbers, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)


def _open_streams() -> None:
    """Have Python's streams know what their descriptors are by now: terminals, pipes or files."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        how: dict[str, Any] = {"encoding": old.encoding, "errors": old.errors, "closefd": False}
        # Standard error is never kept back for longer than a line; the others, only where nobody looks.
        new = open(number, "w" if number else "r", buffering=1 if name == "stderr" else -1, **how)  # noqa: SIM115, PTH123  they stay open
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)


def _load() -> None:
    """Load what commands load, and start nothing."""
    from worker.cli.app import COMMANDS  # noqa: PLC0415  whoever asks for copies needs none of it

    for entries in COMMANDS.values():
        for entry in entries:
            entry.load()
    for name in _LOADED_LATE:
        importlib.import_module(name)
    # A copy has one thread, whatever others held or waited for.
    assert len(list(Path("/proc/self/task").iterdir())) == 1
    # The copies' collections leave alone what they share, which would have to be copied for it.
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _load()
    with socket.socket(fileno=int(sys.argv[1])) as calls:
        _serve(calls)
