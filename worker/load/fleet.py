"""The fleet: worker processes of a run, started and stopped like anybody's."""

import asyncio
import json
import re
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from worker.counters import End
from worker.errors import WorkerError

__all__ = ["Drain", "Fleet", "FleetError"]

# How a worker's last line begins, in which it says what it has counted: whether it had finished, or had to stop before.
_REPORTS = ("drained: ", "stopped before everything had finished: ")
_FIGURE = re.compile(r"(\w+) (\d+)(?:,|$)")
# What a fleet knows of its workers it reads in their logs: they are written as they are read here.
_LOGGING = {"WORKER_LOG_FORMAT": "json", "WORKER_LOG_LEVEL": "info"}
# A port is taken by the first of several processes, and the others do not start.
_ONE_PROCESS_ONLY = frozenset({"WORKER_HEALTH_PORT"})
_POLL_SECONDS = 0.05
_START_SECONDS = 30.0
_STOP_SECONDS = 45.0
_INTERRUPTED_STOP_SECONDS = 5.0
# Has Linux end the worker with us, however we end, and becomes the worker.
_LAUNCH = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))
os.execv(sys.executable, [sys.executable, "-m", "worker", "run"])
"""


class FleetError(WorkerError):
    """Raised when a worker process does not do as it should. The message says which, and where its log is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """How a worker process ended.

    Attributes:
        name: Which process.
        status: Its exit status.
        figures: The counts of its last report; empty when it made none.
        log: Where it wrote its log.
    """

    name: str
    status: int
    figures: dict[str, int]
    log: Path

    def complaint(self) -> str | None:
        """Say what was wrong with it; None if it was a complete drain in which every delivery is accounted for."""
        if self.status != 0 or not self.figures:
            return f"{self.name} ended with status {self.status}, not after a drain; see {self.log}"
        received = self.figures["received"]
        accounted = sum(self.figures.get(end, 0) for end in (*End, "in_flight"))
        if received != accounted:
            return f"{self.name} received {received} deliveries, but accounts for {accounted}"
        return None


class Fleet:
    """Worker processes, each with a log of its own.

    They log as the fleet reads it, and answer no probes, whatever the environment says of either.

    Attributes:
        killed: How many have been killed.
        departed: The exit status of those that had ended by themselves before they could be killed.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.killed = 0
        self.departed: dict[str, int] = {}
        self._environment = _shared(environment)
        self._folder = folder
        self._processes: dict[str, Process] = {}
        self._hired = 0

    @classmethod
    @asynccontextmanager
    async def running(cls, count: int, environment: Mapping[str, str], folder: Path) -> AsyncIterator[Self]:
        """Start worker processes, wait until they consume, and end them with the ``async with``.

        Args:
            count: How many.
            environment: Their whole environment, but for how they log and where they answer probes.
            folder: Where their logs go.

        Raises:
            FleetError: One did not begin to consume.
        """
        fleet = cls(environment, folder)
        try:
            for _ in range(count):
                await fleet.hire()
            async with asyncio.timeout(_START_SECONDS):
                await asyncio.gather(*(fleet._consuming(name) for name in fleet._processes))
            yield fleet
        except TimeoutError as error:
            raise FleetError(f"the workers did not begin to consume; see {folder}/worker-*.log") from error
        finally:
            await fleet._end()

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes' ids."""
        return tuple(process.pid for process in self._processes.values())

    @property
    def names(self) -> list[str]:
        """Those that work now."""
        return list(self._processes)

    async def hire(self) -> str:
        """Start another one, and return its name. It begins to consume some time after this returns."""
        self._hired += 1
        name = f"worker-{self._hired}"
        await self._start(name)
        return name

    async def kill(self, name: str) -> None:
        """End one as ``kill -9`` does, and wait until it is gone."""
        process = self._processes.pop(name)
        if process.returncode is None:
            process.kill()
        else:
            self.departed[name] = process.returncode
        await process.wait()
        self.killed += 1

    async def replace(self, name: str) -> None:
        """Kill one, start another, and wait until that one consumes.

        Raises:
            FleetError: It did not begin to consume.
        """
        await self.kill(name)
        successor = await self.hire()
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._consuming(successor)
        except TimeoutError as error:
            raise FleetError(f"{successor} did not begin to consume; see {self._log(successor)}") from error

    async def drain(self) -> list[Drain]:
        """Send each process SIGTERM and wait until it has ended.

        Raises:
            FleetError: One did not end.
        """
        for process in self._processes.values():
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                statuses = [await process.wait() for process in self._processes.values()]
        except TimeoutError as error:
            raise FleetError(f"a worker did not stop on SIGTERM; see {self._folder}/worker-*.log") from error
        return [
            Drain(name=name, status=status, figures=self._figures(name), log=self._log(name))
            for name, status in zip(self._processes, statuses, strict=True)
        ]

    async def _start(self, name: str) -> None:
        given = self._environment.get("OTEL_RESOURCE_ATTRIBUTES")
        resource = ",".join(filter(None, [given, f"service.instance.id={name}"]))
        with self._log(name).open("wb") as log:
            self._processes[name] = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _LAUNCH,
                env={**self._environment, "OTEL_RESOURCE_ATTRIBUTES": resource},
                stdout=log,
                stderr=log,
                # A terminal's Ctrl-C must reach us only: the workers are told by us.
                start_new_session=True,
            )

    async def _consuming(self, name: str) -> None:
        while not any(message.startswith("consuming ") for message in self._messages(name)):
            if self._processes[name].returncode is not None:
                raise FleetError(f"{name} ended at once: {self._log(name).read_text().strip()[-2000:]}")
            await asyncio.sleep(_POLL_SECONDS)

    async def _end(self) -> None:
        """End whatever still runs, because the run failed or was interrupted."""
        running = [process for process in self._processes.values() if process.returncode is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_INTERRUPTED_STOP_SECONDS):
                await asyncio.gather(*(process.wait() for process in running))
        except TimeoutError:
            for process in running:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    def _figures(self, name: str) -> dict[str, int]:
        reports = [message for message in self._messages(name) if message.startswith(_REPORTS)]
        return {figure: int(count) for figure, count in _FIGURE.findall(reports[-1])} if reports else {}

    def _messages(self, name: str) -> list[str]:
        messages = []
        for line in self._log(name).read_text().splitlines():
            try:
                messages.append(str(json.loads(line)["message"]))
            except (ValueError, KeyError, TypeError):
                continue  # not a line of the log, or one that is still being written
        return messages

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"


def _shared(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which several workers can run and be watched. Settings are known in any case."""
    own = _LOGGING.keys() | _ONE_PROCESS_ONLY
    return {name: value for name, value in environment.items() if name.upper() not in own} | _LOGGING
