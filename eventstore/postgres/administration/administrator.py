"""Administrators: a connection of one's own to one server, for what a person asks for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

from eventstore.postgres.connections.address import Address
from eventstore.postgres.connections.dialing import Dialer, SessionAttribute
from eventstore.postgres.connections.translation import DRIVER_ERRORS, is_connection_loss, translate
from eventstore.postgres.drivers.asyncpg import AsyncpgDriver, SchemaConnection
from eventstore.postgres.drivers.errors import sqlstate_of
from eventstore.postgres.schema import Schema
from eventstore.schema_name import DEFAULT_SCHEMA

__all__ = ["administrator"]

_SECONDS = 10.0
_CLOSE_SECONDS = 5.0


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

    Every statement is read for the schema, so that all of them are written as for the store of the default name.

    Args:
        url: The server's address.
        purpose: How the connection appears in ``pg_stat_activity``.
        schema: The store's.
        wanted: Which server, if the address names several: ``any`` or ``read_write``.
        lifted: Whether the time limits that the database or the role sets are lifted.
        cached: Whether prepared statements may be kept, which some poolers cannot.
        statement_seconds: How long a statement may take; None for as long as it takes.

    Raises:
        StoreMisconfigured: No schema can be called so.
        EventStoreError: As ``translate`` says, also of what happens inside.
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
    try:
        yield connection
    except DRIVER_ERRORS as error:
        raise translate(_first_of(error), its) from error
    finally:
        with suppress(*DRIVER_ERRORS):  # of a server that hangs, what it failed with is worth more
            await connection.close(timeout=_CLOSE_SECONDS)


def _first_of(error: BaseException) -> BaseException:
    """Return why a connection was lost: the driver tells last that the transaction in it cannot be ended."""
    is_the_drivers = is_connection_loss(error) and sqlstate_of(error) is None and not isinstance(error, OSError)
    return error.__context__ if is_the_drivers and isinstance(error.__context__, DRIVER_ERRORS) else error
