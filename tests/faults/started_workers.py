"""Started workers: real worker processes that a test may kill, and that are replaced."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from worker.load.fleet import Fleet

__all__ = ["StartedWorkers"]

_MEMORY = "VmRSS:"
_BEGIN_SECONDS = 30.0
# A worker that starts while its servers do not answer in time says so and ends with this status.
_SURROUNDINGS = 2
# A person never sees where in the code a fault of the servers was noticed; warnings are errors here.
_NEVER = ("Traceback", "Warning: ", '"settling delivery')


class StartedWorkers(Fleet):
    """A fleet whose workers are killed, and are looked at closely."""

    async def replace_ended(self) -> int:
        """Start another one for each that has ended by itself, as a supervisor does; return how many those were.

        Their ends are expected, and are no complaint.
        """
        ended = [name for name, worker in self._workers.items() if worker.has_ended]
        for name in ended:
            await self._workers.pop(name).ended()
            await self.hire()
        return len(ended)

    def use_environment(self, environment: Mapping[str, str]) -> None:
        """Have those who are hired from now on start with another environment."""
        self._environment = environment

    async def begun(self) -> None:
        """Wait until each consumes or has ended: a signal that comes too early ends a process undrained."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_BEGIN_SECONDS):
                for worker in tuple(self._workers.values()):
                    await worker.consuming()

    def dismiss(self) -> None:
        """Forget those that have drained."""
        self._workers.clear()

    def memory(self) -> int:
        """Return how much memory the largest of them has resident, in kilobytes."""
        return max(_resident(pid) for pid in self.pids)

    def complaints(self) -> list[str]:
        """Return what any of them, the killed included, logged that no worker should ever log."""
        departures = [
            f"{name} ended by itself, with status {status}"
            for name, status in self.departed.items()
            if status != _SURROUNDINGS
        ]
        return departures + [
            f"{log.name}: {line[:2000]}"
            for log in sorted(self._folder.glob(f"{self._kind}-*.log"))
            for line in log.read_text().splitlines()
            if any(sign in line for sign in _NEVER)
        ]


def _resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(_MEMORY))
