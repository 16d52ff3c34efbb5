"""Administrators: a connection of one's own to one server, for what a person asks for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from eventstore.postgres.address import check_address
from eventstore.postgres.translation import DRIVER_ERRORS, translate

__all__ = ["administrator"]


@asynccontextmanager
async def administrator(
    url: str, *, wanted: SessionAttribute = SessionAttribute.any
) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """Connect, and close the connection at the end.

    Args:
        url: The server's address.
        wanted: Which server, if the address names several.

    Raises:
        EventStoreError: As ``translate`` says, also of what happens inside.
    """
    check_address(url)
    try:
        connection = await asyncpg.connect(url, timeout=10, target_session_attrs=wanted)
    except (*DRIVER_ERRORS, TimeoutError) as error:
        raise translate(error) from error
    try:
        yield connection
    except DRIVER_ERRORS as error:
        raise translate(error) from error
    finally:
        await connection.close()
