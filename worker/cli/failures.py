"""Failures: what a person reads when something that they can change is wrong."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from eventstore import EventStoreError, StoreUnavailable
from handlers.errors import HandlerError
from worker.errors import BrokerBusy, BrokerUnavailable, Unroutable, WorkerError
from worker.printable import printable
from worker.settings import SettingsError

__all__ = ["KNOWN", "Mistake", "sentence", "store_advice", "telling"]


class Mistake(Exception):
    """Raised by a command when its arguments or surroundings do not suffice. The message says what to do."""


KNOWN = (Mistake, SettingsError, EventStoreError, HandlerError, WorkerError)
"""What is told in a sentence. Everything else is a bug of ours, and keeps its traceback."""

# By SQLSTATE: the server has answered, so that starting it is no help.
_STORE_ADVICE = {
    "25006": "name the server that accepts writes",
    "53300": "end other connections, or raise max_connections",
    "53100": "make room on its disk",
    "57P03": "wait until it has started",
}
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")
_ADVICE: tuple[tuple[type[Exception], str], ...] = (
    (BrokerBusy, "see the broker's limits, alarms and policies, and try again"),
    (BrokerUnavailable, "start RabbitMQ or correct AMQP_URL"),
    (Unroutable, "start a worker for this domain first, with `worker run`"),
)


def sentence(error: BaseException) -> str:
    """Say what is wrong and what to do, without a traceback. Several wrong settings get a sentence each.

    Args:
        error: One of ``KNOWN``, or a group of them, of which the first is told.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    lines = [printable(line.strip()) for line in str(error).split("\n") if line.strip()]
    if isinstance(error, SettingsError | Mistake):
        return "\n".join(lines)
    text = " ".join(lines).rstrip(".")
    if advice := _advice(error):
        return f"{text}; {advice}."
    return text if text.endswith("?") else f"{text}."


def store_advice(error: StoreUnavailable, address: str = "its address") -> str:
    """Say what to do about a database that does not serve, by what the server itself said of it.

    Args:
        error: What happened.
        address: What to correct, if nobody answers there.
    """
    if error.code is None or not _SQLSTATE.fullmatch(error.code):
        return f"start the database or correct {address}"
    return _STORE_ADVICE.get(error.code, "try again, and see the server's log if it stays so")


def _advice(error: BaseException) -> str | None:
    if isinstance(error, StoreUnavailable):
        return store_advice(error)
    return next((advice for family, advice in _ADVICE if isinstance(error, family)), None)


@contextmanager
def telling(program: str) -> Iterator[None]:
    """Tell what is known, also out of a group, in one sentence on standard error, and exit with status 2.

    Args:
        program: Who says it.
    """
    try:
        yield
    except KNOWN as error:
        told = sentence(error)
    except BaseExceptionGroup as group:
        known, unknown = group.split(KNOWN)
        if known is None or unknown is not None:
            raise
        told = sentence(known)
    else:
        return
    print(f"{program}: {told}", file=sys.stderr)  # noqa: T201  the one place where failures are told
    sys.exit(2)
