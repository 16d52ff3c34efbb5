"""The crew: real worker processes that a test may kill, and that are replaced."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from worker.load.fleet import Fleet

__all__ = ["Crew"]

_MEMORY = "VmRSS:"
# A worker that starts while its servers do not answer in time says so and ends with this status.
_SURROUNDINGS = 2
# A person never sees where in the code a fault of the servers was noticed; warnings are errors here.
_NEVER = ("Traceback", "Warning: ", '"settling delivery')


class Crew(Fleet):
    """A fleet whose members die.

    Attributes:
        killed: How many have been killed.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.killed = 0
        self._hired = 0
        self._departures: list[str] = []
        self._environment: Mapping[str, str] = {}

    @classmethod
    @asynccontextmanager
    async def working(cls, count: int, environment: Mapping[str, str], folder: Path) -> AsyncIterator[Self]:
        """Start so many workers and wait until they consume; they are gone at the end of the ``async with``."""
        async with cls.running(count, environment, folder) as crew:
            crew._environment = environment
            crew._hired = count
            yield crew

    @property
    def names(self) -> list[str]:
        """Those that work now."""
        return list(self._processes)

    async def kill(self, name: str) -> None:
        """End one as ``kill -9`` does, and wait until it is gone."""
        process = self._processes.pop(name)
        if process.returncode is None:
            process.kill()
        elif process.returncode != _SURROUNDINGS:
            self._departures.append(f"{name} ended by itself, with status {process.returncode}")
        await process.wait()
        self.killed += 1

    async def hire(self) -> None:
        """Start another one. It begins to consume some time after this returns."""
        self._hired += 1
        await self._start(f"worker-{self._hired}", self._environment)

    def dismiss(self) -> None:
        """Forget those that have drained."""
        self._processes.clear()

    def memory(self) -> int:
        """Return how much memory the largest of them has resident, in kilobytes."""
        return max(_resident(pid) for pid in self.pids)

    def complaints(self) -> list[str]:
        """Return what any of them, the killed included, logged that no worker should ever log."""
        return self._departures + [
            f"{log.name}: {line[:2000]}"
            for log in sorted(self._folder.glob("worker-*.log"))
            for line in log.read_text().splitlines()
            if any(sign in line for sign in _NEVER)
        ]


def _resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(_MEMORY))
