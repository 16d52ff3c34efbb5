"""What stages a race: the head's lock in the test's own hands, and a look at who waits for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias, TypeVar, cast

import asyncpg

from eventstore import TransientStoreError
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.connections.pool import Pool
from tests.support.fixtures.waiting import eventually

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_Answer = TypeVar("_Answer")

_ANSWER_SECONDS = 30.0
_WAITING = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%append_v3%' AND pid <> ALL ($1)
"""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def lent(pool: Pool) -> AsyncIterator[Connection]:
    """A connection of a store on asyncpg."""
    connection = cast("Connection", await pool.acquire())
    try:
        yield connection
    finally:
        await pool.release(connection)


async def room_made(store: PostgresEventStore) -> None:
    """Wait until the first append of a store has asked for partitions, if it was made."""
    making = store._appender._batches._log_room._making
    if making is not None:
        await making


@asynccontextmanager
async def head_locked(admin_url: str) -> AsyncIterator[None]:
    """Keep every append waiting for its turn."""
    async with connected(admin_url) as connection, connection.transaction():
        await connection.execute("SELECT FROM eventstore.store FOR UPDATE")
        yield


async def waiting(admin: Connection, count: int, *, besides: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Wait until so many appends wait for their turn, and return their processes' ids.

    Args:
        admin: Who looks.
        count: How many.
        besides: The processes that do not count.
    """
    await eventually(partial(_are_waiting, admin, count, besides), what=f"{count} appends to wait for their turn")
    return tuple(row["pid"] for row in await admin.fetch(_WAITING, besides))


async def _are_waiting(admin: Connection, count: int, besides: tuple[int, ...]) -> bool:
    return len(await admin.fetch(_WAITING, besides)) == count


async def answered(ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Ask a store whose time for a statement is short until it answers: a busy machine may take longer than that."""
    async with asyncio.timeout(_ANSWER_SECONDS):
        while True:
            try:
                return await ask()
            except TransientStoreError:
                await asyncio.sleep(0)


async def terminate(admin: Connection, pid: int) -> None:
    assert await admin.fetchval("SELECT pg_terminate_backend($1)", pid)


async def refused(connection: Connection, attempt: str) -> str | None:
    """Return the code with which the server refuses an attempt, or None when it does not; nothing is left of it."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(attempt)
    except asyncpg.PostgresError as error:
        return error.sqlstate
    finally:
        await transaction.rollback()
    return None
