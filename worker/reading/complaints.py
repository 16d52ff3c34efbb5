"""Complaints: explains database errors to a person who runs followers, with what to do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from eventstore import EventStoreError, StoreMisconfigured
from eventstore.postgres import Schema, Session
from worker.errors import FollowerError
from worker.reading.names import role_of

__all__ = ["complaint", "session_at"]

# SQLSTATEs: a missing schema, table or function; a missing column; a missing right.
_MISSING = frozenset({"3F000", "42P01", "42883"})
_NO_COLUMN = "42703"
_LACKS_RIGHT = "42501"
_NO_ROLE = "42704"


def complaint(error: EventStoreError, schema: Schema) -> EventStoreError | FollowerError:
    """Return the error to report for an error of the database with the checkpoints and the projections' tables.

    Args:
        error: The database's error.
        schema: The schema of the store whose log is followed.
    """
    cause = error.__cause__ or error
    if error.code == _NO_COLUMN or (error.code in _MISSING and isinstance(error, StoreMisconfigured)):
        return FollowerError(
            "the database lacks the schema for projections, reactions and relays: run `worker db migrate`, or "
            f"`worker db migrate --projections` where PROJECTIONS_URL names another database ({cause})"
        )
    if error.code in {_LACKS_RIGHT, _NO_ROLE}:
        return FollowerError(
            f"the database role may not run projections, reactions or relays: GRANT {role_of(schema)} to it, and to "
            f"the role that migrates ({cause})"
        )
    return error


@asynccontextmanager
async def session_at(url: str, *, purpose: str, schema: str, reads: bool = False) -> AsyncIterator[Session]:
    """Open a session with the database of the checkpoints, and close it at the end of the ``async with``.

    The arguments are those of ``Session``.

    Raises:
        FollowerError, EventStoreError: The body raised an ``EventStoreError``, which ``complaint`` has converted.
    """
    session = Session(url, purpose=purpose, schema=schema, reads=reads)
    try:
        yield session
    except EventStoreError as error:
        raise complaint(error, session.schema) from error
    finally:
        await session.close()
