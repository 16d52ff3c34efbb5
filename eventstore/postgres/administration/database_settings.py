"""Database settings, checked before the first statement of a migration."""

from eventstore.errors import StoreMisconfigured
from eventstore.postgres.drivers.asyncpg import AsyncpgConnection
from eventstore.postgres.statements import statement

__all__ = ["check_surroundings", "collation_complaint"]

_ENCODING = "UTF8"
_KEEPS_COLLATION_FROM = 150_000


async def check_surroundings(connection: AsyncpgConnection) -> None:
    """Check that a database can hold an event store.

    Raises:
        StoreMisconfigured: The encoding or collations do not fit; nothing was changed.
    """
    (found,) = await connection.fetch(statement("surroundings"))
    if found["encoding"] != _ENCODING:
        raise StoreMisconfigured(
            f"the database's encoding is {found['encoding']}, which does not have every character that an event may "
            "hold: create it again with ENCODING 'UTF8' TEMPLATE template0"
        )
    if (complaint := await collation_complaint(connection)) is not None:
        raise StoreMisconfigured(complaint)


async def collation_complaint(connection: AsyncpgConnection) -> str | None:
    """Return what is wrong if the server's collations changed after the database's indexes were built, or None."""
    (found,) = await connection.fetch(statement("surroundings"))
    if found["server"] < _KEEPS_COLLATION_FROM or (made := found["collation_version"]) is None:
        return None
    now = await connection.fetchval(statement("collation"))
    if now in {None, made}:
        return None
    return (
        f"the server sorts text by collations of version {now}, and the database's indexes were made with {made}, so "
        "that they may not find what is there: REINDEX DATABASE, then ALTER DATABASE … REFRESH COLLATION VERSION"
    )
