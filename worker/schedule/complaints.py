"""Complaints: explains database errors to a person who runs a schedule, with what to do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from eventstore import EventStoreError, StoreMisconfigured
from eventstore.postgres import Schema, Session
from worker.errors import ScheduleError
from worker.reading.names import role_of
from worker.schedule.scheduled import ScheduledCommands
from worker.stores import StoreSettings

__all__ = ["commands_of", "complaint"]

# SQLSTATEs: a missing schema, table or function; a missing right.
_MISSING = frozenset({"3F000", "42P01", "42883"})
_LACKS_RIGHT = "42501"


def complaint(error: EventStoreError, schema: Schema) -> EventStoreError | ScheduleError:
    """Return the error to report for an error of the database in which commands wait, beside the store of a schema."""
    cause = error.__cause__ or error
    if error.code in _MISSING and isinstance(error, StoreMisconfigured):
        return ScheduleError(f"the database has no schedule yet: run `worker db migrate` ({cause})")
    if error.code == _LACKS_RIGHT:
        return ScheduleError(f"the database role may not run a schedule: GRANT {role_of(schema)} to it ({cause})")
    return error


@asynccontextmanager
async def commands_of(store: StoreSettings, *, purpose: str) -> AsyncIterator[ScheduledCommands]:
    """Open the scheduled commands beside a store, and close the connection at the end of the ``async with``.

    Args:
        store: The store.
        purpose: Name of the connection in ``pg_stat_activity``.

    Raises:
        ScheduleError, EventStoreError: The body raised an ``EventStoreError``, which ``complaint`` has converted.
    """
    commands = ScheduledCommands(Session(store.database_url, purpose=purpose, schema=store.database_schema))
    try:
        yield commands
    except EventStoreError as error:
        raise complaint(error, commands.schema) from error
    finally:
        await commands.close()
