"""Failures: what a person reads when something that they can change is wrong."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from eventstore import EventStoreError, StoreUnavailable
from handlers.errors import HandlerError
from worker.errors import BrokerUnavailable, Unroutable, WorkerError
from worker.printable import printable
from worker.settings import Settings, SettingsError

__all__ = ["KNOWN", "Mistake", "lacking", "sentence", "telling"]


class Mistake(Exception):
    """Raised by a command when its arguments or surroundings do not suffice. The message says what to do."""


KNOWN = (Mistake, SettingsError, EventStoreError, HandlerError, WorkerError)
"""What is told in a sentence. Everything else is a bug of ours, and keeps its traceback."""

_ADVICE: tuple[tuple[type[Exception], str], ...] = (
    (StoreUnavailable, "start the database or correct its address"),
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
    advice = next((advice for family, advice in _ADVICE if isinstance(error, family)), None)
    if advice:
        return f"{text}; {advice}."
    return text if text.endswith("?") else f"{text}."


def lacking(text: str) -> Mistake:
    """Return the mistake that the domains lack what was asked for.

    A second terminal, in which ``WORKER_DOMAINS`` was not set, asks the example without knowing.

    Args:
        text: What they lack, and what they have: one sentence or more.
    """
    if Settings.load(needs=()).origin("worker_domains") == "default":
        text += " WORKER_DOMAINS is not set, so the example was asked: set it to your domains, as module:attribute."
    return Mistake(text)


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
