"""Administrator connections: a dedicated connection to one server for administrative commands."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

from eventstore.errors import EventStoreError, StoreUnavailable
from eventstore.postgres.connections.address import Address
from eventstore.postgres.connections.dialing import Dialer, SessionAttribute
from eventstore.postgres.connections.translation import DRIVER_ERRORS, is_connection_loss, translate
from eventstore.postgres.drivers.asyncpg import AsyncpgDriver, SchemaConnection
from eventstore.postgres.drivers.errors import sqlstate_of
from eventstore.postgres.schema import Schema
from eventstore.schema_name import DEFAULT_SCHEMA
from eventstore.system_error import said_of

__all__ = ["administrator", "transaction"]

_SECONDS = 10.0
_CLOSE_SECONDS = 5.0
# Enough to ask the server to stop. Whoever has pressed Ctrl-C does not wait for one that is frozen or cut off.
_CANCELLED_SECONDS = 1.0
# The code "connection failure", for a loss that the driver tells without one.
_LOST = "08006"
# The code of all errors of PgBouncer's own.
_POOLER = "08P01"


@asynccontextmanager
async def administrator(
    url: str,
    *,
    purpose: str,
    schema: str = DEFAULT_SCHEMA,
    wanted: SessionAttribute = SessionAttribute.any,
    lifted: bool = True,
    cached: bool = True,
    statement_seconds: float | None = None,
) -> AsyncIterator[SchemaConnection]:
    """Connect by asyncpg, and close the connection at the end.

    Every statement is rewritten for the schema, so that all of them are written for the default store.

    Args:
        url: The server's database URL.
        purpose: The purpose of the connection, shown in ``pg_stat_activity``.
        schema: The schema of the store.
        wanted: The server to choose if the URL has several: ``any``, the default, or ``read_write``.
        lifted: Whether to lift the time limits that the database or role sets, and to have warnings sent; by default
            True.
        cached: Whether prepared statements may be cached, which some poolers do not support; by default True.
        statement_seconds: The timeout in seconds of each statement; None for no timeout.

    Raises:
        StoreMisconfigured: The schema name or the database URL is not usable.
        EventStoreError: Connecting, or a statement inside the block, failed, as ``translate`` classifies it.

    If the block is cancelled, the server is asked to stop the running statement, and gets a second for that.
    """
    its = Schema(schema)
    dialer = Dialer(
        Address.of(url),
        driver=AsyncpgDriver(its),
        purpose=purpose,
        wanted=wanted,
        lifted=lifted,
        cached=cached,
        seconds=_SECONDS,
        statement_seconds=statement_seconds,
    )
    connection = cast("SchemaConnection", await dialer.dial())
    seconds = _CLOSE_SECONDS
    try:
        yield connection
    except DRIVER_ERRORS as error:
        raise _translated(_first_of(error), its) from error
    except asyncio.CancelledError:
        seconds = _CANCELLED_SECONDS
        raise
    finally:
        with suppress(*DRIVER_ERRORS):  # if the server hangs, the first error matters more
            await connection.close(timeout=seconds)


@asynccontextmanager
async def transaction(connection: SchemaConnection, *, readonly: bool = False) -> AsyncIterator[None]:
    """Run a transaction, or a part of one that is rolled back by itself.

    Args:
        connection: The connection.
        readonly: Whether the server refuses changes in it; by default False.

    If the block is cancelled and the server does not confirm the rollback within a second, the connection is
    terminated, which rolls back as well. asyncpg's own transactions would wait for the server without a limit.
    """
    its = connection.transaction(readonly=readonly)
    await its.start()
    try:
        yield
    except asyncio.CancelledError:
        try:
            async with asyncio.timeout(_CANCELLED_SECONDS):
                await its.rollback()
        except DRIVER_ERRORS:
            connection.terminate()
        raise
    except BaseException:
        await its.rollback()
        raise
    await its.commit()


def _translated(error: BaseException, schema: Schema) -> EventStoreError:
    """Translate an error of a connection that has stood: if it is lost, a server was there."""
    code = sqlstate_of(error)
    if is_connection_loss(error) and code != _POOLER and not isinstance(error, TimeoutError):
        return StoreUnavailable(f"the connection to PostgreSQL was lost: {said_of(error)}", code=code or _LOST)
    return translate(error, schema)


def _first_of(error: BaseException) -> BaseException:
    """Return the error that lost the connection: the driver last reports that it cannot end each transaction."""
    while is_connection_loss(error) and sqlstate_of(error) is None and not isinstance(error, OSError):
        if not isinstance(error.__context__, DRIVER_ERRORS):
            break
        error = error.__context__
    return error
