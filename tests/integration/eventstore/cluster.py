"""Servers whose replicas tests may stop and pause: a primary and two replicas of these tests' own."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest

from deploy.local.postgres import PostgresServer
from deploy.local.stack import LocalStack
from tests.integration.eventstore.staging import Connection, connected
from tests.support.fixtures.administration import execute, exists, make_template
from tests.support.fixtures.waiting import eventually

_TEMPLATE = "template_of_the_cluster"
_counter = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicated:
    """A migrated, empty database, and its servers.

    Attributes:
        database: Its name.
        primary: Takes the writes.
        replicas: Follow it.
    """

    database: str
    primary: PostgresServer
    replicas: tuple[PostgresServer, ...]

    @property
    def url(self) -> str:
        """Its address on the primary, for the role that workers use."""
        return self.primary.url(self.primary.worker, self.database)

    @property
    def admin_url(self) -> str:
        """Its address on the primary, for the superuser."""
        return self.primary.url(self.primary.admin, self.database)

    @property
    def replica_urls(self) -> tuple[str, ...]:
        """Its addresses on the replicas, for the role that workers use."""
        return tuple(replica.url(replica.worker, self.database) for replica in self.replicas)

    @asynccontextmanager
    async def paused(self, replica: PostgresServer) -> AsyncIterator[None]:
        """Let a replica stay as far as it is."""
        async with connected(replica.url(replica.admin, self.database)) as admin:
            await admin.execute("SELECT pg_wal_replay_pause()")
            try:
                await eventually(partial(_is_paused, admin), what="the replica to pause")
                yield
            finally:
                await admin.execute("SELECT pg_wal_replay_resume()")

    async def follow(self) -> None:
        """Wait until every replica shows what the primary has committed."""
        async with connected(self.admin_url) as admin:
            # Not the last event: what follows it may be a checkpoint, or a change of another table.
            place = await admin.fetchval("SELECT pg_current_wal_flush_lsn()::text")
        for replica in self.replicas:
            async with connected(replica.url(replica.admin, self.database)) as admin:
                await eventually(partial(_has_replayed, admin, place), what=f"{replica.name} to follow")


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalStack]:
    """The servers, for all tests of this process."""
    with LocalStack(replicas=2, broker=False) as stack:
        asyncio.run(make_template(stack.primary.url(stack.primary.admin, "postgres"), _TEMPLATE))
        yield stack


@pytest.fixture
async def replicated(cluster: LocalStack) -> AsyncIterator[Replicated]:
    """A database for one test, which leaves every server running and following."""
    name = f"test_{next(_counter)}"
    admin_url = cluster.primary.url(cluster.primary.admin, "postgres")
    await execute(admin_url, f'CREATE DATABASE "{name}" TEMPLATE "{_TEMPLATE}"')
    replicated = Replicated(database=name, primary=cluster.primary, replicas=cluster.replicas)
    for url in replicated.replica_urls:
        await eventually(partial(exists, url), what="the database on the replica")
    try:
        yield replicated
    finally:
        for server in (cluster.primary, *cluster.replicas):
            server.start()
        await execute(admin_url, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _is_paused(admin: Connection) -> bool:
    return bool(await admin.fetchval("SELECT pg_get_wal_replay_pause_state() = 'paused'"))


async def _has_replayed(admin: Connection, place: str) -> bool:
    return bool(await admin.fetchval("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", place))
