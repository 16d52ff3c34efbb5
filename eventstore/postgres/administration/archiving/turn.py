"""The turn: one process archives or restores at a time, and waits for the table of events without holding up others."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from eventstore.errors import InvalidRequest, LockNotAcquired, StoreMisconfigured
from eventstore.postgres.administration.administrator import administrator
from eventstore.postgres.connections.dialing import SessionAttribute
from eventstore.postgres.drivers.asyncpg import SchemaConnection
from eventstore.postgres.drivers.errors import DRIVER_ERRORS, sqlstate_of
from eventstore.postgres.statements import statement

__all__ = ["archiving", "with_the_table"]

# Any number that nobody else uses for an advisory lock in this database.
_LOCK = 4_715_018_260_310_017
_LOCK_NOT_AVAILABLE = "55P03"
_REFUSED = "ES007"
# Each try keeps everybody waiting for two seconds at most.
_MOST_TRIES = 10
_REST_SECONDS = 3.0


@asynccontextmanager
async def archiving(admin_url: str, *, schema: str, purpose: str) -> AsyncIterator[SchemaConnection]:
    """Connect to the primary, as the only one who archives or restores.

    Raises:
        StoreUnavailable: The server cannot be reached.
        LockNotAcquired: Another process is at it.
        EventStoreError: As ``translate`` says, also of what happens inside.
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
    """Run a statement that needs the table of events alone for a moment, again and again while others have it.

    Args:
        connection: The schema's owner's.
        name: The statement.
        parameters: Its parameters.
        rest: For how many seconds to leave the table to others after each try.

    Raises:
        StoreMisconfigured: Somebody had it all the time.
        InvalidRequest: What is there is not what was found before. Nothing was changed.
    """
    for left in reversed(range(_MOST_TRIES)):
        if await _tried(connection, name, parameters):
            return
        if left:
            await asyncio.sleep(rest)
    raise StoreMisconfigured(
        "a transaction keeps the table of events all the time: wait for its end (pg_stat_activity shows it), then run "
        "this again, which goes on where it was",
        code=_LOCK_NOT_AVAILABLE,
    )


async def _tried(connection: SchemaConnection, name: str, parameters: Sequence[object]) -> bool:
    try:
        async with connection.transaction():
            await connection.fetch(statement(name), *parameters)
    except DRIVER_ERRORS as error:
        if sqlstate_of(error) == _REFUSED:
            raise InvalidRequest(f"{error}; run this again", code=_REFUSED) from error
        if sqlstate_of(error) != _LOCK_NOT_AVAILABLE:
            raise
        return False
    return True
