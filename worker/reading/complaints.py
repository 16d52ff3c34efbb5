"""Complaints: what an error of the database means to who runs projections, with what to do."""

from eventstore import EventStoreError, StoreMisconfigured
from worker.errors import ProjectionError
from worker.reading.names import ROLE

__all__ = ["complaint"]

# SQLSTATEs: a schema, a table or a function that is missing; a right that is.
_MISSING = frozenset({"3F000", "42P01", "42883"})
_LACKS_RIGHT = "42501"
_NO_ROLE = "42704"


def complaint(error: EventStoreError) -> EventStoreError | ProjectionError:
    """Return what is told of an error of the database that a projection's tables are in."""
    cause = error.__cause__ or error
    if error.code in _MISSING and isinstance(error, StoreMisconfigured):
        return ProjectionError(
            "the database has nothing for projections yet: run `worker db migrate`, or `worker db migrate "
            f"--projections` where PROJECTIONS_URL names another database ({cause})"
        )
    if error.code in {_LACKS_RIGHT, _NO_ROLE}:
        return ProjectionError(
            f"the database role may not run projections: GRANT {ROLE} to it, and to the role that migrates ({cause})"
        )
    return error
