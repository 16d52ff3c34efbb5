"""A database that terminates sessions, or is stopped or killed and restarted."""

import asyncio
import random
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from deploy.local.errors import StackError
from deploy.local.postgres import DATABASE, PostgresServer
from deploy.local.server import until
from deploy.local.stack import LocalStack
from eventstore.postgres import migrate
from tests.faults.conftest import Settle
from tests.faults.size import WITH_FOLLOWERS, Size
from tests.faults.trial import Servers, Trial
from tests.support.fixtures.databases import Database

_TERMINATE = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < $1
"""


async def test_sessions_are_terminated(servers: Servers, database: Database, tmp_path: Path, settle: Settle) -> None:
    async with Trial.of("database sessions terminated", servers, tmp_path, Size.chosen()) as trial:
        ended = 0

        async def terminate(rng: random.Random) -> None:
            nonlocal ended
            connection = await asyncpg.connect(database.admin_url)
            try:
                ended += await connection.fetchval(_TERMINATE, rng.choice([0.5, 1.0, 1.0]))
            finally:
                await connection.close()

        await trial.inject(terminate)
        assert ended > 0
        settle(await trial.audit())


@pytest.mark.parametrize("followers", WITH_FOLLOWERS)
async def test_the_database_is_restarted(vhost: str, tmp_path: Path, settle: Settle, followers: int) -> None:
    with LocalStack(replicas=1, broker=False) as stack:
        primary = stack.primary
        await migrate(primary.url(primary.admin))
        servers = Servers(
            database_url=primary.url(primary.worker, DATABASE),
            amqp_url=vhost,
            replica_urls=tuple(replica.url(replica.worker) for replica in stack.replicas),
        )
        size = Size.chosen(short_blows=2)
        async with Trial.of(
            "PostgreSQL stopped or killed, and started", servers, tmp_path, size, followers=followers
        ) as trial:
            ways = [primary.kill, primary.stop]

            async def restart(_: random.Random) -> None:
                ways.append(way := ways.pop(0))
                await asyncio.to_thread(way)
                await asyncio.to_thread(until, partial(_has_started, primary), 60, "the database to start")

            await trial.inject(restart)
            settle(await trial.audit())


def _has_started(server: PostgresServer) -> bool:
    """Start a server; it refuses while processes of the killed one still run."""
    try:
        server.start()
    except StackError:
        return False
    return True
