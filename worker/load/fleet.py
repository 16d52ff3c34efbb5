"""The fleet: the worker processes of a run, started and stopped as by a service manager."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from worker.counters import End
from worker.errors import WorkerError
from worker.load.load_worker import LoadWorker

__all__ = ["Drain", "Fleet", "FleetError"]

_START_SECONDS = 30.0
_STOP_SECONDS = 45.0
_INTERRUPTED_STOP_SECONDS = 5.0


class FleetError(WorkerError):
    """Raised when a worker process fails. The message says which one, and where its log is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """How a worker process ended.

    Attributes:
        name: Name of the process.
        status: Its exit status.
        figures: Its counts at its end; empty if it did not report them.
        log: Path of its log.
    """

    name: str
    status: int
    figures: Mapping[str, int]
    log: Path

    def complaint(self) -> str | None:
        """Return what was wrong; None if it drained completely and every delivery is accounted for."""
        if self.status != 0 or not self.figures:
            return f"{self.name} ended with status {self.status}, not after a drain; see {self.log}"
        received = self.figures["received"]
        accounted = sum(self.figures.get(end, 0) for end in (*End, "in_flight"))
        if received != accounted:
            return f"{self.name} received {received} deliveries, but accounts for {accounted}"
        return None


class Fleet:
    """Worker processes, each with a log of its own.

    Attributes:
        killed: How many processes have been killed.
        departed: The exit status of processes that had ended by themselves when they were to be killed, by name.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path, *, command: str = "run") -> None:
        self.killed = 0
        self.departed: dict[str, int] = {}
        self._environment = environment
        self._folder = folder
        self._command = command
        self._kind = "worker" if command == "run" else command
        self._workers: dict[str, LoadWorker] = {}
        self._hired = 0

    @classmethod
    @asynccontextmanager
    async def running(
        cls, count: int, environment: Mapping[str, str], folder: Path, *, command: str = "run"
    ) -> AsyncIterator[Self]:
        """Start worker processes, wait until they consume, and end them with the ``async with``.

        Args:
            count: The number of processes.
            environment: Their complete environment. They answer no probes, whatever it says.
            folder: The folder for their logs.
            command: The command of ``worker`` that they run; it must report its health on a control socket.

        Raises:
            FleetError: A process did not begin to consume.
        """
        fleet = cls(environment, folder, command=command)
        try:
            for _ in range(count):
                await fleet.hire()
            async with asyncio.timeout(_START_SECONDS):
                await asyncio.gather(*(fleet._consuming(worker) for worker in fleet._workers.values()))
            yield fleet
        except TimeoutError as error:
            raise FleetError(f"the workers did not begin to consume; see {folder}/{fleet._kind}-*.log") from error
        finally:
            await fleet._end()

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids."""
        return tuple(worker.process.pid for worker in self._workers.values())

    @property
    def names(self) -> list[str]:
        """The names of the current processes."""
        return list(self._workers)

    async def hire(self) -> str:
        """Start another process, and return its name. It begins to consume some time after this returns."""
        self._hired += 1
        name = f"{self._kind}-{self._hired}"
        log = self._folder / f"{name}.log"
        self._workers[name] = await LoadWorker.start(name, log, self._environment, command=self._command)
        return name

    async def kill(self, name: str) -> None:
        """End a process by SIGKILL, and wait until it is gone."""
        worker = self._workers.pop(name)
        if worker.process.returncode is None:
            worker.kill()
        else:
            self.departed[name] = worker.process.returncode
        await worker.ended()
        self.killed += 1

    async def replace(self, name: str) -> None:
        """Kill a process, start another one, and wait until that consumes.

        Raises:
            FleetError: The new process did not begin to consume.
        """
        await self.kill(name)
        successor = self._workers[await self.hire()]
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._consuming(successor)
        except TimeoutError as error:
            raise FleetError(f"{successor.name} did not begin to consume; see {successor.log}") from error

    async def drain(self) -> list[Drain]:
        """Send each process SIGTERM, and wait until all have ended.

        Returns:
            How each process ended.

        Raises:
            FleetError: A process did not end.
        """
        workers = list(self._workers.values())
        for worker in workers:
            worker.stop()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                statuses = [await worker.ended() for worker in workers]
        except TimeoutError as error:
            raise FleetError(f"a worker did not stop on SIGTERM; see {self._folder}/{self._kind}-*.log") from error
        return [
            Drain(name=worker.name, status=status, figures=worker.figures, log=worker.log)
            for worker, status in zip(workers, statuses, strict=True)
        ]

    async def _consuming(self, worker: LoadWorker) -> None:
        if not await worker.consuming():
            await worker.ended()
            said = worker.log.read_text(encoding="utf-8", errors="replace").strip()
            raise FleetError(f"{worker.name} ended at once: {said[-2000:]}")

    async def _end(self) -> None:
        """End all processes that still run, because the run failed or was interrupted."""
        workers = list(self._workers.values())
        for worker in workers:
            worker.stop()
        try:
            async with asyncio.timeout(_INTERRUPTED_STOP_SECONDS):
                await asyncio.gather(*(worker.ended() for worker in workers))
        except TimeoutError:
            for worker in workers:
                worker.kill()
                await worker.ended()
