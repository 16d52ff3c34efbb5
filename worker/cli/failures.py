"""Failures: what a person reads when something that they can change is wrong."""

from eventstore import EventStoreError, StoreUnavailable
from handlers.errors import HandlerError
from worker.errors import BrokerUnavailable, Unroutable, WorkerError
from worker.settings import SettingsError

__all__ = ["KNOWN", "Mistake", "sentence"]


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
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, SettingsError | Mistake):
        return "\n".join(lines)
    text = " ".join(lines).rstrip(".")
    advice = next((advice for family, advice in _ADVICE if isinstance(error, family)), None)
    return f"{text}; {advice}." if advice else f"{text}."
