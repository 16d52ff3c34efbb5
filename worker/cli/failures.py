"""Failures: what a person reads when something that they can change is wrong."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from worker.errors import BrokerUnavailable, SettingsError, Unroutable, WorkerError
from worker.printable import printable

__all__ = ["Mistake", "is_known", "lacking", "sentence", "telling"]


class Mistake(Exception):
    """Raised by a command when its arguments or surroundings do not suffice. The message says what to do."""


def is_known(error: BaseException) -> bool:
    """Whether an error is told in a sentence. Everything else is a bug of ours, and keeps its traceback."""
    if isinstance(error, Mistake | SettingsError | WorkerError):
        return True
    # Whatever raised one of theirs has imported them; a command that needs neither does without.
    from eventstore.errors import EventStoreError  # noqa: PLC0415
    from handlers.errors import HandlerError  # noqa: PLC0415

    return isinstance(error, EventStoreError | HandlerError)


def sentence(error: BaseException) -> str:
    """Say what is wrong and what to do, without a traceback. Several wrong settings get a sentence each.

    Args:
        error: One that is known, or a group of them, of which the first is told.
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


def lacking(text: str) -> Mistake:
    """Return the mistake that the domains lack what was asked for.

    A second terminal, in which ``WORKER_DOMAINS`` was not set, asks the example without knowing.

    Args:
        text: What they lack, and what they have: one sentence or more.
    """
    from worker.settings import Settings  # noqa: PLC0415  most that is told is no such thing

    if Settings.load(needs=()).origin("worker_domains") == "default":
        text += " WORKER_DOMAINS is not set, so the example was asked: set it to your domains, as module:attribute."
    return Mistake(text)


def _advice(error: BaseException) -> str | None:
    """Say what to do about an error that does not say it itself."""
    match error:
        case BrokerUnavailable():
            return "start RabbitMQ or correct AMQP_URL"
        case Unroutable():
            return "start a worker for this domain first, with `worker run`"
        case WorkerError():
            return None
    from eventstore.errors import StoreUnavailable  # noqa: PLC0415  as above

    return "start the database or correct its address" if isinstance(error, StoreUnavailable) else None


@contextmanager
def telling(program: str) -> Iterator[None]:
    """Tell what is known, also out of a group, in one sentence on standard error, and exit with status 2.

    Args:
        program: Who says it.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        known, unknown = group.split(is_known)
        if known is None or unknown is not None:
            raise
        told = sentence(known)
    except Exception as error:
        if not is_known(error):
            raise
        told = sentence(error)
    else:
        return
    print(f"{program}: {told}", file=sys.stderr)  # noqa: T201  the one place where failures are told
    sys.exit(2)
