"""A broker that closes connections, or is stopped or killed and restarted."""

import asyncio
import random
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit

import pytest

from deploy.local.server import until
from tests.faults.conftest import Settle
from tests.faults.size import WITH_FOLLOWERS, Size
from tests.faults.trial import LIBRARY, Servers, Trial
from tests.support.fixtures.brokers import RabbitInTurn
from tests.support.fixtures.databases import Database
from tests.support.fixtures.vhosts import Management


async def test_the_broker_closes_connections(
    servers: Servers, tmp_path: Path, management: Management, settle: Settle
) -> None:
    async with Trial.of("connections closed by the broker", servers, tmp_path, Size.chosen()) as trial:
        closed = 0

        async def close(rng: random.Random) -> None:
            nonlocal closed
            closed += await asyncio.to_thread(_close_some, management, servers.amqp_url, rng)

        await trial.inject(close)
        assert closed >= trial.size.blows
        settle(await trial.audit())


@pytest.mark.parametrize("followers", WITH_FOLLOWERS)
async def test_the_broker_is_restarted(
    breakable_broker: RabbitInTurn, database: Database, tmp_path: Path, settle: Settle, followers: int
) -> None:
    broker = breakable_broker
    servers = Servers(database_url=database.url, amqp_url=broker.url, replica_urls=database.replica_urls)
    size = Size.chosen(short_blows=1, most_blows=8)
    async with Trial.of("broker stopped or killed, and started", servers, tmp_path, size, followers=followers) as trial:
        # A broker that is killed before it has written the names of new queues loses them.
        await asyncio.to_thread(until, partial(_names_are_kept, broker), 60, "the queues' names")
        ways = [broker.kill, broker.stop]

        async def restart(_: random.Random) -> None:
            ways.append(way := ways.pop(0))
            await asyncio.to_thread(way)
            await asyncio.to_thread(broker.start)

        await trial.inject(restart)
        settle(await trial.audit())


def _names_are_kept(broker: RabbitInTurn) -> bool:
    kept = b"".join(names.read_bytes() for names in broker.log.parent.rglob("names.dets"))
    return all(f"{broker.vhost}_{name}".encode() in kept for name, _ in LIBRARY.queues())


def _close_some(management: Management, amqp_url: str, rng: random.Random) -> int:
    """Close every connection of the virtual host, or some; return their number."""
    path = f"/api/vhosts{urlsplit(amqp_url).path}/connections"

    def close() -> int:
        found: list[dict[str, Any]] = management.request("GET", path)
        # The broker lists a connection a moment after it was opened, and for a moment after it was closed.
        names = sorted(each["name"] for each in found if "user_provided_name" in each)
        closed = 0
        for name in rng.sample(names, rng.randint(min(1, len(names)), len(names))):
            with suppress(HTTPError):
                management.request("DELETE", f"/api/connections/{quote(name, safe='')}")
                closed += 1
        return closed

    return until(close, 60, "a connection to close")
