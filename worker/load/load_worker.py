"""The load worker: one worker process of a load run, and its reports."""

import asyncio
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping
from pathlib import Path

from worker.supervision.control_socket import Figures, SupervisorChannel
from worker.supervision.worker_process import started
from worker.waiting import first_of

__all__ = ["LoadWorker"]

_PROGRAM = (sys.executable, "-m", "worker")


class LoadWorker:
    """A worker process with a log of its own. It answers no probes, and drains when this process is gone.

    Args:
        name: Its name.
        log: Path of its log.
        process: The operating system's process.
        channel: Its control socket.

    Attributes:
        name: Its name.
        log: Path of its log.
        process: The operating system's process.
        figures: Its counts at its end; empty before, and if it was killed.
    """

    def __init__(self, name: str, log: Path, process: Process, channel: SupervisorChannel) -> None:
        self.name = name
        self.log = log
        self.process = process
        self.figures: Mapping[str, int] = {}
        self._channel = channel
        self._is_ready = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, name: str, log: Path, environment: Mapping[str, str], *, command: str = "run") -> "LoadWorker":
        """Start a process. It begins to consume some time after this returns.

        Args:
            name: Its name, also in its traces.
            log: Path of its log.
            environment: The rest of its environment.
            command: The command of ``worker`` that it runs.
        """
        given = environment.get("OTEL_RESOURCE_ATTRIBUTES")
        resource = ",".join(filter(None, [given, f"service.instance.id={name}"]))
        with log.open("wb") as output:
            process, channel = await started(
                (*_PROGRAM, command), environment={**environment, "OTEL_RESOURCE_ATTRIBUTES": resource}, log=output
            )
        return cls(name, log, process, channel)

    @property
    def has_ended(self) -> bool:
        """Whether its process has ended."""
        return self.process.returncode is not None

    async def consuming(self) -> bool:
        """Wait until it consumes; return False if it ended before."""
        await first_of(self._is_ready, tasks=[self._listening])
        return self._is_ready.is_set()

    def stop(self) -> None:
        """Have it drain, by SIGTERM."""
        if not self.has_ended:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it by SIGKILL."""
        if not self.has_ended:
            self.process.kill()

    async def ended(self) -> int:
        """Wait until it has ended and all of its reports have arrived; return its exit status."""
        status = await self.process.wait()
        await asyncio.wait({self._listening})
        return status

    async def _listen(self) -> None:
        try:
            while (report := await self._channel.report()) is not None:
                if isinstance(report, Figures):
                    self.figures = report.counts
                elif report.ready:
                    self._is_ready.set()
        finally:
            self._channel.close()
