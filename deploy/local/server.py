"""What every server of the stack has in common: it can be killed, stopped and started again."""

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from deploy.local.errors import StackError
from deploy.local.ports import is_free
from deploy.local.reaper_client import ReaperClient, last_line

__all__ = ["READY_SECONDS", "Server", "until"]

READY_SECONDS = 60.0
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.02
_ATTEMPTS = 5

_Result = TypeVar("_Result")


class Server(ABC):
    """One server process. Subclasses say how it is launched, how it is found ready, and which ports it needs.

    Attributes:
        name: What a person calls it.
        log: The file with its output.
    """

    def __init__(self, reaper: ReaperClient, name: str) -> None:
        self._reaper = reaper
        self._pid: int | None = None
        self._is_known = False
        self.name = name
        self.log = reaper.folder / f"{name}.log"
        self._choose_ports()

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
        return self._pid is not None and self._reaper.status(self._pid) is None

    def start(self) -> None:
        """Start the process and wait until it serves. Does nothing while it serves already.

        On its first start, ports that another program took since they were chosen are replaced; from then on they are
        kept, since others know them.

        Raises:
            StackError: It ended, or did not become ready within a minute, and has been ended; the text holds what its
                log says last.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._start_once()
            except StackError:
                self.kill()
                if self._is_known or attempt == _ATTEMPTS or all(map(is_free, self._ports())):
                    raise
                self._choose_ports()
            else:
                self._is_known = True
                return

    def kill(self) -> None:
        """End the server by SIGKILL, all of its processes, as a crash would. Its data and ports stay."""
        if self._pid is not None:
            self._reaper.kill(self._pid)
            self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the process in order, and wait until it is gone. Its data and ports stay."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Stop the process in order, and start it again."""
        self.stop()
        self.start()

    def _start_once(self) -> None:
        if not self.is_running:
            self._pid = self._launch()
        until(self._serves, READY_SECONDS, f"the server {self.name} to be ready")

    def _serves(self) -> bool:
        if not self.is_running:
            raise StackError(f"The server {self.name} did not start: {last_line(self.log)}")
        return self._is_ready()

    def _end(self, number: signal.Signals) -> None:
        if self._pid is not None:
            pid = self._pid
            self._reaper.signal(pid, number)
            until(lambda: self._reaper.status(pid) is not None, _STOP_SECONDS, f"the server {self.name} to end")

    @abstractmethod
    def _choose_ports(self) -> None:
        """Choose free ones."""

    @abstractmethod
    def _ports(self) -> tuple[int, ...]:
        """Return those it will listen on."""

    @abstractmethod
    def _launch(self) -> int:
        """Start the process and return its id."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Tell whether it serves."""


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
