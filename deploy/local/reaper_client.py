"""The owner's side of the reaper: start, watch and signal processes that cannot outlive the owner."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.local import reaper
from deploy.local.account import Account
from deploy.local.errors import StackError

__all__ = ["ReaperClient", "last_line"]

_POLL_SECONDS = 0.02
_STOP_SECONDS = 120.0


class ReaperClient:
    """A reaper process and the private state folder it keeps. Safe to use from several threads.

    Starting it takes some 50 ms. While it lives, ``folder`` exists; once ``close`` returns, or soon after this process
    has ended in whatever way, neither the folder nor any process started through it does.

    Args:
        account: Who the servers run as.
        held: Descriptors that the reaper keeps open until all is gone, such as one with a lock.

    Raises:
        StackError: The reaper could not be started, or this is not Linux.
    """

    def __init__(self, account: Account, *, held: Sequence[int] = ()) -> None:
        self.check()
        self._account = account
        self._lock = threading.Lock()
        self._closed = False
        self._asked = 0
        base = account.base()
        command = [sys.executable, "-I", "-S", reaper.__file__]
        self._process = subprocess.Popen(
            [*command, str(base), str(account.uid), str(account.gid), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=held,
            start_new_session=True,  # an interrupt from the terminal is the owner's to answer
        )
        try:
            greeting = self._receive()
        except BaseException:
            self.close()
            raise
        self.folder = Path(greeting["folder"])

    @staticmethod
    def check() -> None:
        """See whether a reaper can work here.

        Raises:
            StackError: This is not Linux, whose kernel ends what a killed reaper leaves.
        """
        if sys.platform != "linux":
            raise StackError("The local stack runs on Linux only: set DATABASE_URL and AMQP_URL to servers elsewhere.")

    def write(self, path: Path, text: str) -> None:
        """Write a file that only the servers' account may read, whatever the umask and the writing account are."""
        path.touch(mode=0o600)
        path.chmod(0o600)
        if self._account.is_other:
            os.chown(path, self._account.uid, self._account.gid)
        path.write_text(text, encoding="utf-8")

    def start(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        farewell: signal.Signals = signal.SIGKILL,
    ) -> int:
        """Start a program in the state folder, as the servers' account.

        Args:
            argv: The program and its arguments.
            log: The file to which its output is added.
            env: Its whole environment; by default a bare one with a PATH and C locale.
            farewell: The signal by which the reaper ends it, before it ends all that is left by SIGKILL.

        Returns:
            Its process id.

        Raises:
            StackError: It could not be started, or the reaper is closed.
        """
        bare = {"PATH": os.defpath, "LC_ALL": "C", "HOME": str(self.folder)}
        return int(
            self._ask(
                "start",
                argv=list(argv),
                env=bare | dict(env or {}),
                cwd=str(self.folder),
                log=str(log),
                farewell=int(farewell),
            )
        )

    def run(self, argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        """Run a program to its end. The arguments are those of ``start``.

        Raises:
            StackError: It failed; the text holds its last line of output. Or the reaper was closed meanwhile.
        """
        pid = self.start(argv, log=log, env=env)
        while (code := self.status(pid)) is None:
            time.sleep(_POLL_SECONDS)
        if code:
            raise StackError(f"{Path(argv[0]).name} failed with status {code}: {last_line(log)}")

    def status(self, pid: int) -> int | None:
        """Return the exit status of a program that was started here, or None while it runs."""
        code = self._ask("status", pid=pid)
        return None if code is None else int(code)

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Signal a program that was started here; nothing happens when it has ended."""
        self._ask("signal", pid=pid, number=int(number))

    def kill(self, pid: int) -> None:
        """End a program that was started here, with all that it has started, by SIGKILL."""
        self._ask("kill", pid=pid)

    def close(self) -> None:
        """End every process and remove the folder; wait until it is done. Closing twice does no harm.

        Interrupted, the reaper still finishes by itself.
        """
        with self._lock:  # no other thread is between a request and its reply
            self._closed = True
            if self._process.stdin is not None:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise StackError(
                f"The servers' reaper, process {self._process.pid}, does not end: end it by hand."
            ) from None
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _ask(self, operation: str, **arguments: Any) -> Any:
        with self._lock:
            if self._closed or self._process.stdin is None:
                raise StackError("The local stack has been stopped.")
            self._asked += 1
            request = json.dumps({"id": self._asked, "operation": operation, **arguments})
            try:
                self._process.stdin.write(request.encode() + b"\n")
                self._process.stdin.flush()
            except OSError:
                raise StackError(_GONE) from None
            # An interrupt may have left the reply to an earlier request unread.
            while (reply := self._receive())["id"] != self._asked:
                pass
        if "error" in reply:
            raise StackError(f"The local stack could not {operation} a program: {reply['error']}.")
        return reply["result"]

    def _receive(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else b""
        if not line.endswith(b"\n"):
            raise StackError(_GONE)
        reply: dict[str, Any] = json.loads(line)
        return reply


_GONE = "The local stack's reaper process has ended: start the stack again."


def last_line(log: Path) -> str:
    """Return the last line of a log that says something, best an error; empty where there is none."""
    try:
        lines = [
            line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
    except OSError:
        return ""
    telling = [line for line in lines if "FATAL" in line or "error" in line.lower()]
    return (telling or lines or [""])[-1]
