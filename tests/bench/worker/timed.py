"""A program under measurement: its output and its CPU time."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.bench.process import BenchError
from worker.load.cpu import cpu_spent

__all__ = ["Timed"]

_POLL_SECONDS = 0.01
_SAY_SECONDS = 300.0
_END_SECONDS = 60.0
_TELLING_LINES = 20

Condition = Callable[[], bool | Awaitable[bool]]


class Timed:
    """A running program. Create it with ``running``."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    @contextmanager
    def running(cls, command: Sequence[str], environment: Mapping[str, str]) -> Iterator["Timed"]:
        """Start a program; it is killed if it still runs at the end."""
        process = subprocess.Popen(
            command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        timed = cls(process)
        try:
            yield timed
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
            timed._reader.join()
            if process.stdout is not None:
                process.stdout.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def logged(self, text: str, *, times: int = 1) -> None:
        """Wait until it has printed ``times`` lines with this text.

        Raises:
            BenchError: It ended earlier, or took too long.
        """
        await self.until(lambda: sum(text in line for line in list(self._lines)) >= times, what=f"{text!r}")

    async def until(self, holds: Condition, *, what: str, seconds: float = _SAY_SECONDS) -> None:
        """Wait until a condition holds while it runs, for ``seconds`` at most. Raises as ``logged`` does."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not (await met if isinstance(met := holds(), Awaitable) else met):
            if self._process.poll() is not None:
                self._reader.join()
                raise BenchError(f"it ended before {what}: " + "".join(self._lines[-_TELLING_LINES:]))
            if loop.time() > deadline:
                raise BenchError(f"it took longer than {seconds:g} s to come to {what}")
            await asyncio.sleep(_POLL_SECONDS)

    def spent(self) -> float:
        """Return the CPU seconds of it and its children so far."""
        return sum(spent.seconds for spent in cpu_spent(self._process.pid).values())

    async def ended(self, signal_number: int | None = None) -> float:
        """Wait until it has ended; return the total CPU seconds of it and its children.

        Args:
            signal_number: A signal to send first.

        Raises:
            BenchError: It took too long, or failed.
        """
        if signal_number is not None:
            self._process.send_signal(signal_number)
        try:
            async with asyncio.timeout(_END_SECONDS):
                _, status, usage = await asyncio.to_thread(os.wait4, self._process.pid, 0)
        except TimeoutError:
            self._process.kill()
            raise BenchError(f"it did not end within {_END_SECONDS:g} s") from None
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if self._process.returncode != 0:
            raise BenchError("it failed: " + "".join(self._lines[-_TELLING_LINES:]))
        return usage.ru_utime + usage.ru_stime

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.append(line)
