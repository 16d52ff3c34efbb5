"""A worker process, started from the command line, and its log."""

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.fixtures.waiting import eventually
from tests.support.fork_server import Call, started

_ENDS = (
    "accepted",
    "rejected",
    "unchanged",
    "duplicate",
    "retried",
    "dead_lettered",
    "returned",
    "lost_channel",
    "in_flight",
)


class WorkerProcess:
    """``python -m worker run``, by default for the tally domain.

    Attributes:
        messages: The messages that it has logged so far.
        records: The log records with all their fields.
    """

    def __init__(self, process: Process) -> None:
        self.messages: list[str] = []
        self.records: list[dict[str, Any]] = []
        self._process = process
        self._reading = asyncio.create_task(self._read())

    @classmethod
    @asynccontextmanager
    async def running(
        cls, database_url: str, amqp_url: str, *arguments: str, **variables: str
    ) -> AsyncIterator["WorkerProcess"]:
        """Start a worker with these environment variables and wait until it consumes; it is killed if it still runs.

        Args:
            database_url: The database.
            amqp_url: The virtual host.
            arguments: What follows ``worker run`` on the command line.
            variables: Further environment variables.
        """
        environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": database_url,
            "AMQP_URL": amqp_url,
            "WORKER_DOMAINS": "tests.support.domains.tally:domain",
            **variables,
        }
        call = Call(arguments=("run", *arguments), environment=environment, strict=True)
        process = await started(call, stderr=PIPE)
        worker = cls(process)
        try:
            await worker.logged("consuming tally.commands")
            yield worker
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await worker._reading

    @property
    def lives(self) -> bool:
        """Whether it still runs."""
        return self._process.returncode is None

    async def logged(self, beginning: str, *, times: int = 1) -> str:
        """Wait until it has logged ``times`` messages with this beginning; return the last of them."""

        def said() -> list[str]:
            return [each for each in self.messages if each.startswith(beginning)]

        async def has_logged() -> bool:
            # Its last lines are read after its end is known.
            return self._reading.done() or len(said()) >= times

        await eventually(has_logged, what=f"the worker to log {beginning!r}")
        assert len(said()) >= times, self.messages
        return said()[-1]

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def status(self) -> int:
        """Wait for its exit status."""
        status = await self._process.wait()
        await self._reading
        return status

    def report(self) -> dict[str, int]:
        """Return the last counters that it logged; assert that every delivery is accounted for."""
        figures: dict[str, int] = [record["figures"] for record in self.records if "figures" in record][-1]
        assert figures["received"] == sum(figures[end] for end in _ENDS)
        return figures

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            try:
                self.records.append(json.loads(line))
                self.messages.append(self.records[-1]["message"])
            except ValueError:
                self.messages.append(line.decode().rstrip())
