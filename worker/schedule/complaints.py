"""Complaints: what an error of the database means to who runs a schedule, with what to do."""

from eventstore import EventStoreError, StoreMisconfigured
from eventstore.postgres import Schema
from worker.errors import ScheduleError
from worker.reading.names import role_of

__all__ = ["complaint"]

# SQLSTATEs: a schema, a table or a function that is missing; a right that is.
_MISSING = frozenset({"3F000", "42P01", "42883"})
_LACKS_RIGHT = "42501"


def complaint(error: EventStoreError, schema: Schema) -> EventStoreError | ScheduleError:
    """Return what is told of an error of the database that commands wait in, beside the store of a schema."""
    cause = error.__cause__ or error
    if error.code in _MISSING and isinstance(error, StoreMisconfigured):
        return ScheduleError(f"the database has no schedule yet: run `worker db migrate` ({cause})")
    if error.code == _LACKS_RIGHT:
        return ScheduleError(f"the database role may not run a schedule: GRANT {role_of(schema)} to it ({cause})")
    return error
