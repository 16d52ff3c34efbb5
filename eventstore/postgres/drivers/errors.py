"""Driver errors, classified by class and SQLSTATE, never by message text."""

from eventstore.postgres.drivers import asyncpg
from eventstore.postgres.drivers.protocol import DriverError, Failure

__all__ = ["DRIVER_ERRORS", "ended_by", "failure_of", "sqlstate_of"]

DRIVER_ERRORS = (*asyncpg.ERRORS, DriverError, OSError)
"""The errors that connections and pools raise: those of the drivers, and socket errors."""

_LOST_CLASS, _LOST = "08", {"57P01", "57P02", "57P03"}


def failure_of(error: BaseException) -> Failure:
    """Classify an error. If the server answers that it ends the connection, that is a connection loss."""
    failure, sqlstate = _told(error)
    if failure is Failure.ANSWER and sqlstate is not None and (sqlstate[:2] == _LOST_CLASS or sqlstate in _LOST):
        return Failure.LOSS
    return failure


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE; None if the error did not come from the server."""
    return _told(error)[1]


def ended_by(error: BaseException) -> str | None:
    """Return the SQLSTATE with which the server ended a connection that was found lost; None if it is unknown."""
    if isinstance(error, DriverError):
        return error.ended_by
    return None if error.__cause__ is None else sqlstate_of(error.__cause__)


def _told(error: BaseException) -> tuple[Failure, str | None]:
    if isinstance(error, asyncpg.ERRORS):
        return asyncpg.failure_of(error)
    if isinstance(error, DriverError):
        return error.failure, error.sqlstate
    if isinstance(error, OSError):
        return Failure.LOSS, None
    return (Failure.VALUE if isinstance(error, ValueError) else Failure.UNKNOWN), None
