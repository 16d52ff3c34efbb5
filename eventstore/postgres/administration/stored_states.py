"""Administration of stored states: lists and deletes them by view."""

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
        states: The number of stored states, one for each key.
        bytes: Their total size in bytes, uncompressed.
        lowest: The lowest position of a state, as a sequence number.
        highest: The highest position of a state, as a sequence number.
        written_at: When the latest one was stored.
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
    """List stored states by domain, view and version; None for ``domain``, ``view`` or ``version`` means any.

    Raises:
        StoreUnavailable: The server cannot be reached.
        StoreMisconfigured: The address, credentials or privileges do not suffice, or there is no event store.
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
    """Delete the stored states that ``list_states`` lists. The next read of each view key folds its whole history.

    Returns:
        The number of stored states that were deleted.

    Raises:
        StoreUnavailable: The server cannot be reached.
        StoreMisconfigured: The role may not delete stored states.
    """
    async with administrator(
        admin_url, purpose=_PURPOSE, schema=schema, wanted=SessionAttribute.read_write
    ) as connection:
        dropped: int = await connection.fetchval(statement("states_dropped"), domain, view, version)
    return dropped
