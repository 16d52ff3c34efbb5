"""What every server of the stack has in common: it can be killed, stopped and started again."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from deploy.local.errors import StackError
from deploy.local.guard import Guard, last_line

__all__ = ["Server", "until"]

_Result = TypeVar("_Result")
_POLL_SECONDS = 0.02
READY_SECONDS = 60.0
STOP_SECONDS = 30.0


class Server:
    """One server process. Subclasses say how it is started, asked to end, and found ready.

    Attributes:
        name: What a person calls it.
        log: The file with its output.
    """

    def __init__(self, guard: Guard, name: str) -> None:
        self._guard = guard
        self._pid: int | None = None
        self.name = name
        self.log = guard.folder / f"{name}.log"

    @property
    def pid(self) -> int:
        """The process id.

        Raises:
            StackError: It does not run.
        """
        if self._pid is None or not self.is_running:
            raise StackError(f"The server {self.name} does not run: start it.")
        return self._pid

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._pid is not None and self._guard.status(self._pid) is None

    def start(self) -> None:
        """Start the process and wait until it serves. Does nothing while it runs.

        Raises:
            StackError: It ended, or did not become ready in time; the text holds what its log says last.
        """
        if not self.is_running:
            self._pid = self._launch()
        until(self._serves, READY_SECONDS, f"the server {self.name} to be ready")

    def kill(self) -> None:
        """End the process by SIGKILL, as a crash would, and wait until it is gone. Its data and address stay."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the process in order, and wait until it is gone. Its data and address stay."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Stop the process in order, and start it again."""
        self.stop()
        self.start()

    def _end(self, number: signal.Signals) -> None:
        if self._pid is not None:
            pid = self._pid
            self._guard.signal(pid, number)
            until(lambda: self._guard.status(pid) is not None, STOP_SECONDS, f"the server {self.name} to end")

    def _serves(self) -> bool:
        if not self.is_running:
            raise StackError(f"The server {self.name} did not start: {last_line(self.log)}")
        return self._is_ready()

    def _launch(self) -> int:
        raise NotImplementedError

    def _is_ready(self) -> bool:
        raise NotImplementedError


def until(condition: Callable[[], _Result], seconds: float, what: str) -> _Result:
    """Wait until a condition holds, asking again and again, and return its first true value.

    Raises:
        StackError: It did not hold in time; ``what`` says in the text what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise StackError(f"Waited {seconds:.0f} s in vain for {what}: see whether this machine is overloaded.")
        time.sleep(_POLL_SECONDS)
    return result


def read(path: Path) -> str:
    """Return a file's text, empty where there is none."""
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
