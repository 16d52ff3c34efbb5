"""A running broker that refuses connections, permissions, messages by a policy, or all publishing in a memory alarm."""

import asyncio
import itertools
import random
import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from uuid import UUID

import pytest
from aiormq.exceptions import DeliveryError

from handlers.library.register_reader import RegisterReader
from tests.faults.conftest import Settle
from tests.faults.load import UNDER_WAY
from tests.faults.size import Size
from tests.faults.trial import LIBRARY, Servers, Trial
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.brokers import RabbitInTurn
from tests.support.fixtures.databases import Database
from tests.support.fixtures.vhosts import Management
from tests.support.fixtures.waiting import eventually

_NOTICE_SECONDS = 60.0
# Enough refused connections to be those of all workers and of the publisher.
_FEW = 8
_WORKERS = "workers"
_EVERYTHING, _NOTHING = ".*", "^$"
_TOO_MANY = "connection limit (0) is reached"
_NO_RIGHTS = re.compile(rf"cannot consume {re.escape(LIBRARY.queue)}: .*ACCESS_REFUSED")


@dataclass(frozen=True, slots=True)
class Broker:
    """The test's own broker, with a separate user for the workers.

    Attributes:
        server: The server.
        management: Its management API.
        folder: The folder of the workers' logs.
    """

    server: RabbitInTurn
    management: Management
    folder: Path

    def allow(self, what: str) -> None:
        """Set the permissions of the workers' user: everything, or only to connect."""
        rights = dict.fromkeys(("configure", "write", "read"), what)
        self.management.request("PUT", f"/api/permissions/{self.server.vhost}/{_WORKERS}", rights)

    def close_connections(self) -> None:
        """Close all connections that the broker lists."""
        for each in self.management.request("GET", "/api/connections"):
            with suppress(HTTPError):
                self.management.request("DELETE", f"/api/connections/{quote(each['name'], safe='')}")

    def complaints(self) -> int:
        """How often workers have logged that they lack the permission to consume."""
        return sum(len(_NO_RIGHTS.findall(log.read_text())) for log in self.folder.glob("worker-*.log"))

    def turned_away(self) -> int:
        """How many connections it has refused because of the limit."""
        return self.server.log.read_text().count(_TOO_MANY)


async def refuses_connections(broker: Broker, trial: Trial) -> None:
    """The virtual host allows no connections."""
    limit = f"/api/vhost-limits/{broker.server.vhost}/max-connections"
    await asyncio.to_thread(broker.management.request, "PUT", limit, {"value": 0})
    try:
        await _counts_up(broker.turned_away, by=_FEW, while_doing=broker.close_connections, trial=trial)
    finally:
        await asyncio.to_thread(broker.management.request, "DELETE", limit)


async def refuses_rights(broker: Broker, trial: Trial) -> None:
    """Workers may only connect."""
    await asyncio.to_thread(broker.allow, _NOTHING)
    try:
        await _counts_up(broker.complaints, by=1, while_doing=broker.close_connections, trial=trial)
    finally:
        await asyncio.to_thread(broker.allow, _EVERYTHING)


async def refuses_messages(broker: Broker, trial: Trial) -> None:
    """A policy limits the work queue to one message; workers are refused meanwhile, or they would empty it at once."""
    policy = f"/api/policies/{broker.server.vhost}/full"
    definition = {"max-length": 1, "overflow": "reject-publish"}
    body = {"pattern": f"^{LIBRARY.queue}$", "definition": definition, "apply-to": "queues"}
    await trial.load.finish()
    await asyncio.to_thread(broker.management.request, "PUT", policy, body)
    await asyncio.to_thread(broker.allow, _NOTHING)
    try:
        await eventually(partial(_has_no_consumer, broker), what="no worker to consume", seconds=_NOTICE_SECONDS)
        await _fill(broker, trial)
        await _counts_up(lambda: trial.load.repeated, by=_FEW, trial=trial)
    finally:
        await asyncio.to_thread(broker.management.request, "DELETE", policy)
        await asyncio.to_thread(broker.allow, _EVERYTHING)


async def takes_nothing(broker: Broker, trial: Trial) -> None:
    """A memory alarm: the broker blocks every publisher."""
    await asyncio.to_thread(broker.server.use_memory, "0.0000001")
    try:
        await _counts_up(lambda: trial.load.repeated, by=1, trial=trial)
    finally:
        await asyncio.to_thread(broker.server.use_memory, "0.9")


REFUSALS: tuple[Callable[[Broker, Trial], Awaitable[None]], ...] = (
    refuses_connections,
    refuses_rights,
    refuses_messages,
    takes_nothing,
)


@pytest.fixture
def broker(breakable_broker: RabbitInTurn, tmp_path: Path) -> Broker:
    return Broker(breakable_broker, Management(breakable_broker.management_url), tmp_path)


async def test_the_broker_refuses(broker: Broker, database: Database, tmp_path: Path, settle: Settle) -> None:
    password = secrets.token_hex(16)
    await asyncio.to_thread(
        broker.management.request, "PUT", f"/api/users/{_WORKERS}", {"password": password, "tags": ""}
    )
    await asyncio.to_thread(broker.allow, _EVERYTHING)
    address = urlsplit(broker.server.url)
    login = f"{_WORKERS}:{password}@{address.hostname}:{address.port}"
    servers = Servers(
        database_url=database.url,
        amqp_url=broker.server.url,
        worker_amqp_url=address._replace(netloc=login).geturl(),
        replica_urls=database.replica_urls,
    )
    size = Size.chosen(short_blows=len(REFUSALS))
    async with Trial.of("broker refuses connections, rights, messages, all", servers, tmp_path, size) as trial:
        refusals = itertools.cycle(REFUSALS)

        async def refuse(_: random.Random) -> None:
            await next(refusals)(broker, trial)

        await trial.inject(refuse)
        settle(await trial.audit())


async def _has_no_consumer(broker: Broker) -> bool:
    """Close all connections; return whether no consumer is left, which would empty the queue."""
    await asyncio.to_thread(broker.close_connections)
    async with AmqpClient.open(broker.server.url) as client:
        return await client.consumers(LIBRARY.queue) == 0


async def _fill(broker: Broker, trial: Trial) -> None:
    """Publish commands one at a time until one is refused: the broker applies a policy with a delay."""
    command = RegisterReader(reader_id="one more", name="Ada")
    async with AmqpClient.open(broker.server.url) as client:

        async def is_refused() -> bool:
            try:
                command_id = await client.put(
                    command.model_dump_json(by_alias=True).encode(),
                    routing_key=LIBRARY.domain_name,
                    message_type=type(command).__name__,
                )
            except DeliveryError:
                return True
            trial.load.commands[UUID(command_id)] = command
            return False

        await eventually(is_refused, what="the queue to have no room", seconds=_NOTICE_SECONDS)


async def _counts_up(
    count: Callable[[], int], *, by: int, while_doing: Callable[[], None] | None = None, trial: Trial | None = None
) -> None:
    """Wait until a counter of refusals has increased.

    Args:
        count: Returns the counter.
        by: The least increase.
        while_doing: Called before each check: the broker lists a connection a moment late, so one pass may miss it.
        trial: The trial whose load continues.
    """
    enough = await asyncio.to_thread(count) + by

    async def has_increased() -> bool:
        if trial is not None and trial.load.is_idle:
            trial.load.allow(UNDER_WAY)
        if while_doing is not None:
            await asyncio.to_thread(while_doing)
        return await asyncio.to_thread(count) >= enough

    await eventually(has_increased, what=f"{by} more refusals", seconds=_NOTICE_SECONDS)
