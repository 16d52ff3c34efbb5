"""Started workers: worker processes that a test may kill and replace."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from worker.load.fleet import Fleet

__all__ = ["StartedWorkers"]

_MEMORY = "VmRSS:"
_BEGIN_SECONDS = 30.0
# The exit status of a worker whose servers do not answer in time at its start.
_SURROUNDINGS = 2
# A server's failure is never logged with a traceback; warnings count as errors here.
_NEVER = ("Traceback", "Warning: ", '"settling delivery')


class StartedWorkers(Fleet):
    """A fleet whose workers are killed and whose logs are checked."""

    async def replace_ended(self) -> int:
        """Replace each worker that has ended by itself, as a supervisor does; return their number.

        Their ends are expected and not reported.
        """
        ended = [name for name, worker in self._workers.items() if worker.has_ended]
        for name in ended:
            await self._workers.pop(name).ended()
            await self.hire()
        return len(ended)

    def use_environment(self, environment: Mapping[str, str]) -> None:
        """Start later workers with another environment."""
        self._environment = environment

    async def begun(self) -> None:
        """Wait until each worker consumes or has ended: an earlier signal would end a process without draining."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_BEGIN_SECONDS):
                for worker in tuple(self._workers.values()):
                    await worker.consuming()

    def dismiss(self) -> None:
        """Remove the workers that have drained."""
        self._workers.clear()

    def memory(self) -> int:
        """Return the resident memory of the largest worker, in kilobytes."""
        return max(_resident(pid) for pid in self.pids)

    def complaints(self) -> list[str]:
        """Return the log lines of all workers, including killed ones, that no worker may ever log."""
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
