import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from eventstore.postgres import PostgresEventStore
from eventstore.postgres.reads import replicas
from tests.integration.eventstore.cluster import cluster, replicated
from tests.integration.eventstore.library import libraries
from tests.integration.eventstore.staging import Connection, connected
from tests.support.fixtures.administration import execute, on
from tests.support.fixtures.databases import Database
from tests.support.fixtures.environment import Environment

__all__ = ["cluster", "libraries", "replicated"]

_counter = itertools.count(1)


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no replica taken out of the reads because this machine is busy."""
    monkeypatch.setattr(replicas, "_LOOK_SECONDS", 20.0)


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Connection]:
    """The superuser's connection to the test's database."""
    async with connected(database.admin_url) as connection:
        yield connection


@pytest.fixture
async def runtime(database: Database) -> AsyncIterator[Connection]:
    """A connection as workers have it, with the server's own settings."""
    async with connected(database.url) as connection:
        yield connection


@pytest.fixture
async def stores(database: Database) -> AsyncIterator[Callable[[int], Awaitable[list[PostgresEventStore]]]]:
    """Makes so many stores with one connection each, so that their appends meet in the database and nowhere before."""
    async with AsyncExitStack() as stack:

        async def make(count: int) -> list[PostgresEventStore]:
            return [
                await stack.enter_async_context(PostgresEventStore.connect(database.url, pool_size=1))
                for _ in range(count)
            ]

        yield make


@pytest.fixture
async def empty(stack_environment: Environment) -> AsyncIterator[Database]:
    """A database without an event store."""
    name = f"test_{stack_environment.run}_{os.getpid()}_empty_{next(_counter)}"
    admin_url = stack_environment["DATABASE_ADMIN_URL"]
    await execute(admin_url, f'CREATE DATABASE "{name}"')
    yield Database(
        name=name, url=on(stack_environment["DATABASE_URL"], name), admin_url=on(admin_url, name), replica_urls=()
    )
    await execute(admin_url, f'DROP DATABASE "{name}" WITH (FORCE)')
