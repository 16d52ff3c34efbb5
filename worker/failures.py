"""Failures: the sentences that people read when something that they can change is wrong."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from worker.errors import BrokerBusy, BrokerUnavailable, NoSchedule, SettingsError, Unroutable, WorkerError
from worker.printable import printable

__all__ = ["Mistake", "is_known", "naming", "sentence", "telling"]

# By SQLSTATE: the server has answered, so starting it would not help.
_STORE_ADVICE = {
    "25006": "name the server that accepts writes",
    "53300": "end other connections, or raise max_connections",
    "53100": "make room on its disk",
    "57P03": "wait until it has started",
}
# If there are several databases, the message names the address beside its text.
_ITS_ADDRESS, _THE_VARIABLE = "its address", "DATABASE_URL"
_IN_THE_ADDRESS = "in the address"
_NOTE = "The address is in "
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")
_ADVICE: tuple[tuple[type[Exception], str], ...] = (
    (BrokerBusy, "see the broker's limits, alarms and policies, and try again"),
    (BrokerUnavailable, "start RabbitMQ or correct AMQP_URL"),
    (NoSchedule, "run `worker schedule run`, or `worker topology declare`, which make it"),
    (
        Unroutable,
        "start a worker for this domain with `worker run`; one that runs makes what was deleted within half a minute",
    ),
)


class Mistake(Exception):
    """Raised by a command when its arguments or surroundings do not suffice. The message says what to do."""


def is_known(error: BaseException) -> bool:
    """Whether an error is reported as a sentence. Any other error is a bug, and keeps its traceback."""
    if isinstance(error, Mistake | SettingsError | WorkerError):
        return True
    return _is_of_store(error) or _is_of(error, "handlers.errors", "HandlerError")


def sentence(error: BaseException, address: str = _ITS_ADDRESS) -> str:
    """Return what is wrong and what to do, without a traceback. Several wrong settings get a sentence each.

    Args:
        error: A known error, or a group whose first error is known.
        address: How to name the database's address to correct, where ``naming`` does not.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    address = _variable_of(error) or address
    lines = [printable(line.strip()) for line in str(error).split("\n") if line.strip()]
    if isinstance(error, SettingsError | Mistake):
        return "\n".join(lines)
    text = " ".join(lines).rstrip(".")
    if _is_of_store(error):
        text = text.replace(_IN_THE_ADDRESS, f"in {address}")
    if advice := _advice(error, address):
        return f"{text}; {advice}."
    return text if text.endswith("?") else f"{text}."


@contextmanager
def naming(variable: str) -> Iterator[None]:
    """Note on an error of the store which variable holds its address, for ``sentence``. The error stays as it is.

    Args:
        variable: The variable's name. One that was noted before, nearer to the address, is kept.
    """
    try:
        yield
    except Exception as error:
        if _is_of_store(error) and _variable_of(error) is None:
            error.add_note(_NOTE + variable)
        raise


def _variable_of(error: BaseException) -> str | None:
    notes: list[str] = getattr(error, "__notes__", [])
    return next((note.removeprefix(_NOTE) for note in notes if note.startswith(_NOTE)), None)


def _store_advice(code: str | None, address: str) -> str:
    """Return what to do about a database that does not serve, by the server's own error code, None without one."""
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
    return _store_advice(code, address)


def _is_of_store(error: BaseException) -> bool:
    return _is_of(error, "eventstore.errors", "EventStoreError")


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
