"""Errors of whichever driver: what each means, told by its class and SQLSTATE, never by its text."""

from eventstore.postgres.drivers import asyncpg
from eventstore.postgres.drivers.protocol import DriverError, Failure

__all__ = ["DRIVER_ERRORS", "ended_by", "failure_of", "sqlstate_of"]

DRIVER_ERRORS = (*asyncpg.ERRORS, DriverError, OSError)
"""What connections and pools raise: a driver's errors, and those of the sockets below it."""

_LOST_CLASS, _LOST = "08", {"57P01", "57P02", "57P03"}


def failure_of(error: BaseException) -> Failure:
    """Say what an error means. An answer of the server that it ends the connection is its loss."""
    failure, sqlstate = _told(error)
    if failure is Failure.ANSWER and sqlstate is not None and (sqlstate[:2] == _LOST_CLASS or sqlstate in _LOST):
        return Failure.LOSS
    return failure


def sqlstate_of(error: BaseException) -> str | None:
    """Return the server's code, None if the error did not come from the server."""
    return _told(error)[1]


def ended_by(error: BaseException) -> str | None:
    """Return the code with which the server had ended the connection that was found lost, if that is known."""
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
