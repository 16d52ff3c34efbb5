"""Ways in which a database does not serve, and how they end."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import asyncpg

from tests.support.fixtures.administration import execute, on
from tests.support.fixtures.databases import Database

Outage = Callable[[Database], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def without_connections(database: Database) -> AsyncIterator[None]:
    """The server lets nobody into the database."""
    async with _altered(database, "ALLOW_CONNECTIONS false", "ALLOW_CONNECTIONS true"):
        yield


@asynccontextmanager
async def full(database: Database) -> AsyncIterator[None]:
    """The database has all the connections that it may have."""
    async with _altered(database, "CONNECTION LIMIT 0", "CONNECTION LIMIT -1"):
        yield


@asynccontextmanager
async def read_only(database: Database) -> AsyncIterator[None]:
    """The database takes no writes."""
    name = "default_transaction_read_only"
    async with _altered(database, f"SET {name} = on", f"RESET {name}"):
        yield


@asynccontextmanager
async def _altered(database: Database, change: str, change_back: str) -> AsyncIterator[None]:
    # From another database: this one may be closed to everybody.
    server = on(database.admin_url, "postgres")
    await execute(server, f'ALTER DATABASE "{database.name}" {change}')
    await _end_connections(server, database.name)
    try:
        yield
    finally:
        # The store keeps no connection that it made meanwhile: none would have taken a write.
        await execute(server, f'ALTER DATABASE "{database.name}" {change_back}')


async def _end_connections(server: str, name: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND usename <> current_user",
            name,
        )
    finally:
        await connection.close()
