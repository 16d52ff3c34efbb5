"""A broker that closes connections, stops, or dies, and comes back."""

import asyncio
import random
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit

from deploy.local.server import until
from deploy.local.stack import LocalStack
from eventstore.postgres import migrate
from tests.faults.conftest import Settle
from tests.faults.size import Size
from tests.faults.trial import LIBRARY, Ground, Trial
from tests.support.fixtures.vhosts import Management


async def test_the_broker_closes_connections(
    ground: Ground, tmp_path: Path, management: Management, settle: Settle
) -> None:
    async with Trial.of("connections closed by the broker", ground, tmp_path, Size.chosen()) as trial:
        closed = 0

        async def close(rng: random.Random) -> None:
            nonlocal closed
            closed += await asyncio.to_thread(_close_some, management, ground.amqp_url, rng)

        await trial.suffer(close)
        assert closed >= trial.size.blows
        settle(await trial.audit())


async def test_the_broker_is_restarted(tmp_path: Path, settle: Settle) -> None:
    with LocalStack(replicas=0) as stack:
        addresses = stack.environment()
        await migrate(addresses["DATABASE_ADMIN_URL"])
        ground = Ground(database_url=addresses["DATABASE_URL"], amqp_url=addresses["AMQP_URL"])
        size = Size.chosen(short_blows=1, most_blows=8)
        async with Trial.of("broker stopped or killed, and started", ground, tmp_path, size) as trial:
            # A broker that is killed before it wrote down the names of new queues never finds them again.
            await asyncio.to_thread(until, partial(_names_are_kept, stack), 20, "the queues' names")
            ways = [stack.broker.kill, stack.broker.stop]

            async def restart(_: random.Random) -> None:
                ways.append(way := ways.pop(0))
                await asyncio.to_thread(way)
                await asyncio.to_thread(stack.broker.start)

            await trial.suffer(restart)
            settle(await trial.audit())


def _names_are_kept(stack: LocalStack) -> bool:
    kept = b"".join(names.read_bytes() for names in stack.folder.rglob("names.dets"))
    return all(name.encode() in kept for name, _ in LIBRARY.queues())


def _close_some(management: Management, amqp_url: str, rng: random.Random) -> int:
    """Close every connection of the virtual host, or some; return how many."""
    path = f"/api/vhosts{urlsplit(amqp_url).path}/connections"

    def close() -> int:
        found: list[dict[str, Any]] = management.request("GET", path)
        # The broker's statistics learn a moment late of a connection that was opened, and of one that is gone.
        names = sorted(each["name"] for each in found if "user_provided_name" in each)
        closed = 0
        for name in rng.sample(names, rng.randint(min(1, len(names)), len(names))):
            with suppress(HTTPError):
                management.request("DELETE", f"/api/connections/{quote(name, safe='')}")
                closed += 1
        return closed

    return until(close, 20, "a connection to close")
