"""Failures: the sentences that people read when something that they can change is wrong."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from worker.errors import BrokerBusy, BrokerUnavailable, NoSchedule, SettingsError, Unroutable, WorkerError
from worker.printable import printable

__all__ = ["Mistake", "is_known", "sentence", "store_advice", "telling"]

# By SQLSTATE: the server has answered, so starting it would not help.
_STORE_ADVICE = {
    "25006": "name the server that accepts writes",
    "53300": "end other connections, or raise max_connections",
    "53100": "make room on its disk",
    "57P03": "wait until it has started",
}
# If there are several databases, the message names the address beside its text.
_ITS_ADDRESS, _THE_VARIABLE = "its address", "DATABASE_URL"
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")
_ADVICE: tuple[tuple[type[Exception], str], ...] = (
    (BrokerBusy, "see the broker's limits, alarms and policies, and try again"),
    (BrokerUnavailable, "start RabbitMQ or correct AMQP_URL"),
    (NoSchedule, "run `worker schedule run`, or `worker topology declare`, which make it"),
    (Unroutable, "start a worker for this domain first, with `worker run`"),
)


class Mistake(Exception):
    """Raised by a command when its arguments or surroundings do not suffice. The message says what to do."""


def is_known(error: BaseException) -> bool:
    """Whether an error is reported as a sentence. Any other error is a bug, and keeps its traceback."""
    if isinstance(error, Mistake | SettingsError | WorkerError):
        return True
    return _is_of(error, "eventstore.errors", "EventStoreError") or _is_of(error, "handlers.errors", "HandlerError")


def sentence(error: BaseException, address: str = _ITS_ADDRESS) -> str:
    """Return what is wrong and what to do, without a traceback. Several wrong settings get a sentence each.

    Args:
        error: A known error, or a group whose first error is known.
        address: How to name the address to correct, if no database answers there.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    lines = [printable(line.strip()) for line in str(error).split("\n") if line.strip()]
    if isinstance(error, SettingsError | Mistake):
        return "\n".join(lines)
    text = " ".join(lines).rstrip(".")
    if advice := _advice(error, address):
        return f"{text}; {advice}."
    return text if text.endswith("?") else f"{text}."


def store_advice(code: str | None, address: str = _ITS_ADDRESS) -> str:
    """Return what to do about a database that does not serve, by the server's own error code.

    Args:
        code: The SQLSTATE of the error; None if the server did not answer.
        address: How to name the address to correct, if no server answers there.
    """
    if code is None or not _SQLSTATE.fullmatch(code):
        return f"start the database or correct {address}"
    return _STORE_ADVICE.get(code, "try again, and see the server's log if it stays so")


def _advice(error: BaseException, address: str) -> str | None:
    """Return what to do about an error whose own text does not say that; None if it does."""
    if isinstance(error, WorkerError):
        return next((advice for family, advice in _ADVICE if isinstance(error, family)), None)
    if not _is_of(error, "eventstore.errors", "StoreUnavailable"):
        return None
    code: str | None = getattr(error, "code", None)
    return store_advice(code, address)


def _is_of(error: BaseException, module: str, family: str) -> bool:
    """Whether an error is of a class, without importing its module: if that is not loaded, it is no instance."""
    return module in sys.modules and isinstance(error, getattr(sys.modules[module], family))


@contextmanager
def telling(program: str) -> Iterator[None]:
    """Report a known error, also one in a group, as a sentence on standard error, and exit with status 2.

    Args:
        program: The program's name, which begins the line.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        known, unknown = group.split(is_known)
        if known is None or unknown is not None:
            raise
        told = sentence(known, _THE_VARIABLE)
    except Exception as error:
        if not is_known(error):
            raise
        told = sentence(error, _THE_VARIABLE)
    else:
        return
    print(f"{program}: {told}", file=sys.stderr)  # noqa: T201  the one place where failures are printed
    sys.exit(2)
