"""The archiving lock: one process archives or restores at a time, and waits for the table without blocking others."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from eventstore.errors import InvalidRequest, LockNotAcquired, StoreMisconfigured
from eventstore.postgres.administration.administrator import administrator, transaction
from eventstore.postgres.connections.dialing import SessionAttribute
from eventstore.postgres.drivers.asyncpg import SchemaConnection
from eventstore.postgres.drivers.errors import DRIVER_ERRORS, sqlstate_of
from eventstore.postgres.statements import statement

__all__ = ["archiving", "with_the_table"]

# Any number that nothing else in this database uses for an advisory lock.
_LOCK = 4_715_018_260_310_017
_LOCK_NOT_AVAILABLE = "55P03"
_REFUSED = "ES007"
# Each try blocks other transactions for two seconds at most.
_MOST_TRIES = 10
_REST_SECONDS = 3.0


@asynccontextmanager
async def archiving(admin_url: str, *, schema: str, purpose: str) -> AsyncIterator[SchemaConnection]:
    """Connect to the primary, as the only process that archives or restores.

    Raises:
        StoreUnavailable: The server cannot be reached.
        LockNotAcquired: Another process archives or restores.
        EventStoreError: Connecting, or a statement inside the block, failed, as ``translate`` classifies it.
    """
    async with administrator(
        admin_url, purpose=purpose, schema=schema, wanted=SessionAttribute.read_write
    ) as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", connection.schema.lock(_LOCK)):
            raise LockNotAcquired("another process archives or restores: wait for its end, then try again")
        yield connection


async def with_the_table(
    connection: SchemaConnection, name: str, *parameters: object, rest: float = _REST_SECONDS
) -> None:
    """Run a statement that briefly needs the table of events exclusively, and retry while other transactions use it.

    Args:
        connection: A connection with the role that owns the schema.
        name: The name of the statement.
        parameters: The values of its parameters.
        rest: The seconds between two tries, in which other transactions can use the table.

    Raises:
        StoreMisconfigured: Other transactions held the table during all tries.
        InvalidRequest: The range differs from what was found before. Nothing was changed.
    """
    for left in reversed(range(_MOST_TRIES)):
        if await _tried(connection, name, parameters):
            return
        if left:
            await asyncio.sleep(rest)
    raise StoreMisconfigured(
        "a transaction keeps the table of events locked: wait for its end (pg_stat_activity shows it), then run this "
        "again, which continues where it stopped",
        code=_LOCK_NOT_AVAILABLE,
    )


async def _tried(connection: SchemaConnection, name: str, parameters: Sequence[object]) -> bool:
    try:
        async with transaction(connection):
            await connection.fetch(statement(name), *parameters)
    except DRIVER_ERRORS as error:
        if sqlstate_of(error) == _REFUSED:
            raise InvalidRequest(f"{error}; run this again", code=_REFUSED) from error
        if sqlstate_of(error) != _LOCK_NOT_AVAILABLE:
            raise
        return False
    return True
