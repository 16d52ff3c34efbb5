"""The ways to open a store on PostgreSQL: with each driver, and over each kind of pool or engine of a program."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import asyncpg
import psycopg_pool
from sqlalchemy.ext.asyncio import create_async_engine

from eventstore.postgres import PostgresEventStore
from eventstore.postgres.drivers.choice import DriverName

__all__ = ["DRIVERS", "KINDS", "POOLS", "handed_in", "opened"]

DRIVERS = ("asyncpg", "psycopg", "sqlalchemy")
"""The drivers, by name."""

POOLS = ("asyncpg.Pool", "AsyncConnectionPool", "AsyncEngine over asyncpg", "AsyncEngine over psycopg")
"""What a program can hand in."""

KINDS = (*DRIVERS, *POOLS)
"""All ways."""


@asynccontextmanager
async def handed_in(kind: str, url: str, *, size: int = 10) -> AsyncIterator[Any]:
    """A program's own pool or engine, with at most ``size`` connections."""
    async with AsyncExitStack() as stack:
        match kind:
            case "asyncpg.Pool":
                yield await stack.enter_async_context(asyncpg.create_pool(url, min_size=1, max_size=size))
            case "AsyncConnectionPool":
                yield await stack.enter_async_context(
                    psycopg_pool.AsyncConnectionPool(url, min_size=1, max_size=size, open=False)
                )
            case _:
                library = kind.rpartition(" ")[2]
                engine = create_async_engine(
                    url.replace("postgresql://", f"postgresql+{library}://"), pool_size=size, max_overflow=0
                )
                stack.push_async_callback(engine.dispose)
                yield engine


@asynccontextmanager
async def opened(kind: str, url: str, **options: Any) -> AsyncIterator[PostgresEventStore]:
    """A store, opened in one of the ways."""
    if kind in DRIVERS:
        async with PostgresEventStore.connect(url, driver=cast("DriverName", kind), **options) as store:
            yield store
    else:
        async with handed_in(kind, url) as pool, PostgresEventStore.over(pool, **options) as store:
            yield store
