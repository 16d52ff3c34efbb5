"""Stored states under administration: which views have some, and how to be rid of them."""

from dataclasses import dataclass
from datetime import datetime

from eventstore.postgres.administration.administrator import administrator
from eventstore.postgres.connections.dialing import SessionAttribute
from eventstore.postgres.statements import statement
from eventstore.schema_name import DEFAULT_SCHEMA

__all__ = ["ViewStates", "drop_states", "list_states"]

_PURPOSE = "worker db states"


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewStates:
    """The stored states of one version of a view.

    Attributes:
        domain: The domain's name.
        view: The view's name.
        version: The view's version.
        states: How many there are, one a key.
        bytes: How large they are together, uncompressed.
        lowest: The position of the one that is least far.
        highest: The position of the one that is furthest.
        written_at: When one was stored last.
    """

    domain: str
    view: str
    version: int
    states: int
    bytes: int
    lowest: int
    highest: int
    written_at: datetime


async def list_states(
    admin_url: str,
    *,
    schema: str = DEFAULT_SCHEMA,
    domain: str | None = None,
    view: str | None = None,
    version: int | None = None,
) -> tuple[ViewStates, ...]:
    """List what is stored, by domain, view and version; of all of them, or of those that are named.

    Raises:
        StoreUnavailable: The server cannot be reached.
        StoreMisconfigured: The address, the credentials or the rights do not suffice, or there is no event store.
    """
    async with administrator(admin_url, purpose=_PURPOSE, schema=schema) as connection:
        rows = await connection.fetch(statement("states_listed"), domain, view, version)
    return tuple(ViewStates(**dict(row)) for row in rows)


async def drop_states(
    admin_url: str,
    *,
    schema: str = DEFAULT_SCHEMA,
    domain: str | None = None,
    view: str | None = None,
    version: int | None = None,
) -> int:
    """Delete the stored states that ``list_states`` lists. The next to need one reads its view's whole history.

    Returns:
        How many were deleted.

    Raises:
        StoreUnavailable: The server cannot be reached.
        StoreMisconfigured: The role may not delete them.
    """
    async with administrator(
        admin_url, purpose=_PURPOSE, schema=schema, wanted=SessionAttribute.read_write
    ) as connection:
        dropped: int = await connection.fetchval(statement("states_dropped"), domain, view, version)
    return dropped
