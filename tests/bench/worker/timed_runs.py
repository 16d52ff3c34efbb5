"""A timed run: servers, a queue that is filled beforehand, and a program that is timed until the last command."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

import asyncpg
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from deploy.local.stack import LocalStack
from eventstore.postgres import migrate
from handlers import library
from handlers.decider import Command
from handlers.domain import Domain
from tests.bench.process import BenchError
from tests.bench.worker import affine
from tests.bench.worker.commands import Commands
from tests.bench.worker.programs import CONSUME_ACK, Program
from tests.bench.worker.timed import Timed
from worker.amqp.connection import Link
from worker.amqp.declaration import declare
from worker.load.traces.receiver import SpanReceiver
from worker.publisher import Publisher
from worker.settings import Settings
from worker.topology import Topology

__all__ = ["Run", "TimedRuns"]

_DOMAINS = (library.domain, affine.domain)
_PUBLISHERS = 128
_DECIDED_AGAIN = "SELECT count(*) FROM eventstore.receipts WHERE (details ->> 'attempts')::int > 1"
_LONGEST_REST = 0.25
_VARIABLES = {"WORKER_DOMAINS": "handlers.library:domain", "OTEL_METRICS_EXPORTER": "none"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The result of one run.

    Attributes:
        rate: Commands, or deliveries, per second.
        again: The percentage of commands that were decided more than once.
        cpu: CPU time per command of all the program's processes, in µs, until everything was exported and closed.
    """

    rate: float
    cpu: float
    again: float = 0.0


class TimedRuns:
    """Measures one program after another on the same servers.

    Args:
        addresses: The servers, as the worker's settings name them.
        receiver: The receiver of spans.
        admin: The superuser's connection.
    """

    def __init__(
        self, addresses: Mapping[str, str], receiver: SpanReceiver, admin: "asyncpg.Connection[asyncpg.Record]"
    ) -> None:
        self._addresses = addresses
        self._receiver = receiver
        self._admin = admin
        self._commands = Commands(seed=1)
        self._prefetch = str(Settings().prefetch)

    @classmethod
    @asynccontextmanager
    async def open(cls, *, books: int) -> AsyncIterator["TimedRuns"]:
        """Start the servers and set up what the runs need.

        Args:
            books: The number of books of all runs together.
        """
        with LocalStack(replicas=1) as stack, SpanReceiver.listening() as receiver:
            addresses = stack.environment()
            await migrate(addresses["DATABASE_ADMIN_URL"])
            for served in _DOMAINS:
                link = Link(addresses["AMQP_URL"], name="bench", prepare=partial(declare, topology=Topology.of(served)))
                await link.wire()
                await link.close()
            admin = await asyncpg.connect(addresses["DATABASE_ADMIN_URL"])
            runs = cls(addresses, receiver, admin)
            try:
                await runs._run(Program(), list(runs._commands.hot_book_setup(books)))
                yield runs
            finally:
                await admin.close()

    async def run(self, program: Program, count: int) -> Run:
        """Time a program on ``count`` commands.

        Raises:
            BenchError: It did not start, did not end, or lost a trace.
        """
        wanted = self._commands
        commands = wanted.hot_books(count, program.books) if program.books else wanted.uncontended(count)
        return await self._run(program, list(commands))

    async def consume_ack(self, count: int) -> Run:
        """Time only consuming and acknowledging ``count`` commands."""
        await self._fill(library.domain, self._commands.uncontended(count))
        command = (*CONSUME_ACK, Topology.of(library.domain).queue, self._prefetch, str(count))
        with Timed.running(command, {**os.environ, **self._addresses}) as timed:
            await timed.logged("consuming")
            start, before = time.perf_counter(), timed.spent()
            await timed.logged("done")
            seconds = time.perf_counter() - start
            return Run(rate=count / seconds, cpu=(await timed.ended() - before) / count * 1e6)

    async def _run(self, program: Program, commands: list[Command]) -> Run:
        await self._fill(program.domain, commands)
        await self._admin.execute("TRUNCATE eventstore.receipts")
        await self._admin.execute("CHECKPOINT")
        self._receiver.requests.clear()
        environment = {**os.environ, **self._addresses, **_VARIABLES, **program.variables}
        if program.exports:
            environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": self._receiver.endpoint}
        with Timed.running(program.command + (self._prefetch,) * program.takes_prefetch, environment) as timed:
            await timed.logged("consuming", times=program.processes)
            start, before = time.perf_counter(), timed.spent()
            await timed.until(_Settled(self._admin, len(commands)), what=f"{len(commands)} receipts")
            seconds = time.perf_counter() - start
            cpu = await timed.ended(signal.SIGTERM) - before
        if program.traced is not None and self._traces() < program.traced * len(commands):
            raise BenchError(f"{self._traces()} of {len(commands)} traces arrived")
        again = await self._admin.fetchval(_DECIDED_AGAIN)
        return Run(rate=len(commands) / seconds, cpu=cpu / len(commands) * 1e6, again=again / len(commands) * 100)

    async def _fill(self, domain: Domain, commands: Iterable[Command]) -> None:
        remaining = iter(commands)
        async with Publisher.connect(self._addresses["AMQP_URL"], name="bench") as publisher:

            async def publish() -> None:
                for command in remaining:
                    await publisher.publish(
                        domain.name,
                        type(command).__name__,
                        command,
                        command_id=uuid4(),
                        affinity_key=domain.affinity_key(command),
                    )

            async with asyncio.TaskGroup() as group:
                for _ in range(_PUBLISHERS):
                    group.create_task(publish())

    def _traces(self) -> int:
        return sum(
            span.name.startswith("process ")
            for request in self._receiver.requests
            for resource in ExportTraceServiceRequest.FromString(request).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        )


class _Settled:
    """Whether every command has its receipt. It is checked only a few times: counting costs time that is measured.

    Args:
        admin: The superuser's connection.
        count: The number of commands.
    """

    def __init__(self, admin: "asyncpg.Connection[asyncpg.Record]", count: int) -> None:
        self._admin = admin
        self._count = count
        self._start = time.perf_counter()
        self._next = self._start

    async def __call__(self) -> bool:
        now = time.perf_counter()
        if now < self._next:
            return False
        settled = int(await self._admin.fetchval("SELECT count(*) FROM eventstore.receipts"))
        # Wait for half of the remaining time at the rate so far, which is inaccurate at first.
        rest = (now - self._start) * (self._count - settled) / max(settled, 1)
        self._next = now + min(rest / 2, _LONGEST_REST)
        return settled >= self._count
