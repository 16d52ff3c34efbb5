"""A trial: workers under load, a fault that is injected repeatedly, and the audit afterwards."""

import asyncio
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Self
from uuid import UUID

from eventstore.postgres import PostgresEventStore
from handlers.decider import Command
from handlers.library import domain as library
from handlers.library.register_reader import RegisterReader
from handlers.library.scenarios.mixed import Mixed
from tests.faults.audit import Audit
from tests.faults.figures import Figures, recovery
from tests.faults.followers import Following, with_due_dates
from tests.faults.load import Load
from tests.faults.size import Size
from tests.faults.started_workers import StartedWorkers
from tests.support.amqp_client import AmqpClient
from tests.support.backlogs import backlog_if_told
from tests.support.fixtures.waiting import eventually
from worker.amqp.delivery import POISON_HEADER
from worker.topology import Topology

__all__ = ["LIBRARY", "Blow", "Servers", "Trial", "settled"]

LIBRARY = Topology(library.name)
Blow = Callable[[random.Random], Awaitable[None]]

_WORKERS = 2
_EMPTY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The servers of a trial, and the domain that its workers serve.

    Attributes:
        database_url: The database, for the auditor.
        amqp_url: The broker, for publishers and the auditor.
        worker_database_url: The database's address for the workers, for example through a proxy; by default the same.
        worker_amqp_url: The broker's address for the workers; by default the same.
        replica_urls: The replicas that workers read from.
        served: The domain that workers serve: the library, or another one of its name.
    """

    database_url: str
    amqp_url: str
    worker_database_url: str = ""
    worker_amqp_url: str = ""
    replica_urls: tuple[str, ...] = field(default=())
    served: str = "handlers.library:domain"

    def environment(self) -> dict[str, str]:
        """Return a worker's environment."""
        return {
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PYTHONWARNINGS": "error",
            "PATH": str(Path(sys.executable).parent),
            "DATABASE_URL": self.worker_database_url or self.database_url,
            "DATABASE_REPLICA_URLS": ",".join(self.replica_urls),
            "AMQP_URL": self.worker_amqp_url or self.amqp_url,
            "WORKER_DOMAINS": self.served,
            "WORKER_RETRY_DELAY": "0.5",
        }


class Trial:
    """A fault under load.

    Attributes:
        fleet: The workers.
        load: The commands.
        servers: The servers.
        size: The size.
        expected_dead: Further commands that must become dead letters, with the expected reasons.
        report: The sum of the drained workers' counters; empty before the audit.
        following: The followers; None for none.
    """

    def __init__(
        self,
        fault: str,
        servers: Servers,
        size: Size,
        *,
        fleet: StartedWorkers,
        load: Load,
        setup: int,
        following: Following | None = None,
    ) -> None:
        self.fleet = fleet
        self.load = load
        self.servers = servers
        self.size = size
        self.expected_dead: dict[UUID, str] = {}
        self.report: Counter[str] = Counter()
        self.following = following
        self._fault = fault
        self._setup = setup
        self._rng = random.Random(size.seed)  # noqa: S311  not cryptographic
        self._ends: list[float] = []
        self._complaints: list[str] = []
        self._faults: list[str] = []

    @classmethod
    @asynccontextmanager
    async def of(
        cls,
        fault: str,
        servers: Servers,
        folder: Path,
        size: Size,
        *,
        workers: int = _WORKERS,
        copies: int = 1,
        followers: int = 0,
    ) -> AsyncIterator[Self]:
        """Start workers and load, and wait until the set-up is settled: everything works before the fault.

        Args:
            fault: The fault's name in the table.
            servers: The servers.
            folder: The folder for logs.
            size: The size.
            workers: The number of worker processes.
            copies: How often each command is sent.
            followers: The number of follower processes; with any, loans become due during the trial, so that the
            schedule sends commands.
        """
        setup, commands = _commands(size)
        async with AsyncExitStack() as stack:
            following = None
            if followers:
                fault = f"{fault}, beside followers"
                commands = with_due_dates(commands, random.Random(size.seed))  # noqa: S311  not cryptographic
                following = await stack.enter_async_context(
                    Following.running(
                        followers,
                        servers.environment(),
                        folder,
                        database_url=servers.database_url,
                        amqp_url=servers.amqp_url,
                    )
                )
            fleet = await stack.enter_async_context(StartedWorkers.running(workers, servers.environment(), folder))
            load = await stack.enter_async_context(
                Load.through(servers.amqp_url, servers.database_url, library.name, commands, copies=copies)
            )
            load.allow(setup)
            await load.finish()
            yield cls(fault, servers, size, fleet=fleet, load=load, setup=setup, following=following)

    async def inject(self, blow: Blow) -> None:
        """Inject the fault at random moments while commands are in flight, then wait until all are answered.

        Missing answers do not raise: the audit reports what happened to their commands.
        """
        try:
            await self._inject(blow)
        except AssertionError as overdue:
            self.load.withdraw()
            self._complaints.append(f"{overdue}: {len(self.load.answered)} came")

    async def _inject(self, blow: Blow) -> None:
        batch = self.size.commands // self.size.blows
        for number in range(self.size.blows):
            self.load.allow(batch)
            await self.load.reach(self._setup + number * batch + self._rng.randrange(1 + batch // 3))
            await blow(self._rng)
            self.over()
        await self.load.finish()

    async def move(self, database_url: str) -> None:
        """Start new workers on another database. The present ones must have been stopped."""
        self.servers = replace(self.servers, database_url=database_url, worker_database_url="", replica_urls=())
        self.load.database_url = database_url
        self.fleet.dismiss()
        self.fleet.use_environment(self.servers.environment())
        for _ in range(_WORKERS):
            await self.fleet.hire()

    async def stop_workers(self) -> None:
        """Have every worker drain."""
        self._faults += await self._drained()

    async def repeat_lost(self, lost: Collection[UUID]) -> None:
        """Send commands again whose answers belong to a lost history, as publishers do that find no receipt."""
        for command_id in lost:
            self.load.replies.pop(command_id, None)
        async with asyncio.TaskGroup() as group:
            for command_id in lost:
                group.create_task(self.load.ask(self.load.commands[command_id], command_id))

    def over(self) -> None:
        """Record that a blow has ended now."""
        self._ends.append(time.time())

    async def audit(self) -> Figures:
        """Have the workers finish and drain, and audit the log, receipts and dead letters."""
        sent = {} if self.following is None else await self.following.finish()
        faults = self._faults + await self._drain()
        while not await self._is_empty():
            # Messages may have been requeued after the workers had ended: those of a connection whose loss was noticed
            # late, and suspected poison that was not decided yet.
            self.fleet.dismiss()
            await self.fleet.hire()
            await self._decide_poison()
            faults += await self._drain()
        faults += await asyncio.to_thread(self.fleet.complaints)
        if self.following is not None:
            faults += await self.following.audit()
        async with (
            PostgresEventStore.connect(self.servers.database_url) as store,
            AmqpClient.open(self.servers.amqp_url) as client,
        ):
            audit = await Audit.of(
                store, client, library, self.load.commands | sent, self.load.replies, expected_dead=self.expected_dead
            )
        first, last = recovery(self._ends, self._spans(audit.settled))
        return Figures(
            fault=self._fault,
            commands=len(self.load.commands) + len(sent),
            blows=len(self._ends),
            repeated=self.load.repeated,
            lost=len(audit.lost),
            doubled=len(audit.doubled),
            wrong=audit.wrong + len(faults),
            dead=len(audit.dead),
            first=first,
            last=last,
            complaints=(*self._complaints, *audit.complaints, *faults),
        )

    async def _decide_poison(self) -> None:
        """Wait until the only worker has decided all suspected poison messages, which it holds in a queue.

        A last command that is marked as poison is answered after all of them.
        """
        command = RegisterReader(reader_id="the last", name="Ada")
        async with AmqpClient.open(self.servers.amqp_url) as client:
            command_id = await client.put(
                command.model_dump_json(by_alias=True).encode(),
                routing_key=library.name,
                message_type=type(command).__name__,
                reply_to=client.replies,
                headers={POISON_HEADER: True},
            )
            self.load.commands[UUID(command_id)] = command
            await eventually(partial(_has_some, client), what="an answer to the last command", seconds=_EMPTY_SECONDS)

    async def _drain(self) -> list[str]:
        """Wait until the queues are empty, and have every worker drain; return their errors."""
        await eventually(self._is_empty, what="the queues to be empty", seconds=_EMPTY_SECONDS)
        return await self._drained()

    async def _drained(self) -> list[str]:
        await self.fleet.begun()
        drains = await self.fleet.drain()
        for drain in drains:
            self.report.update(drain.figures)
        return [complaint for drain in drains if (complaint := drain.complaint()) is not None]

    def _spans(self, settled: dict[UUID, float]) -> Iterator[tuple[float, float]]:
        for command_id, sent in self.load.sent_at.items():
            if command_id in settled:
                yield sent, settled[command_id]

    async def _is_empty(self) -> bool:
        found = await backlog_if_told(self.servers.amqp_url, LIBRARY)
        return found is not None and found.waiting == found.resting == 0


async def settled(database_url: str) -> set[UUID]:
    """Return the commands that have a receipt."""
    async with PostgresEventStore.connect(database_url) as store:
        return {receipt.key async for receipt in store.all_receipts() if receipt.key is not None}


async def _has_some(client: AmqpClient) -> bool:
    return await client.ready(client.replies) > 0


def _commands(size: Size) -> tuple[int, Iterator[Command]]:
    """Return the number of set-up commands, and an endless iterator of these and the load."""
    generate = partial(Mixed().workload, random.Random(size.seed), size.commands)  # noqa: S311  not cryptographic
    first = generate()
    setup = list(first.setup)
    more = itertools.chain.from_iterable(generate().load for _ in itertools.count())
    return len(setup), itertools.chain(setup, first.load, more)
