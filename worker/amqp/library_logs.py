"""The library's logs: of our connections it says nothing, since what is lost we open again, or tell who waits for it.

It logs a traceback when a broker closes a connection, and an error for each attempt while it is away. A program that
publishes would show them as its own. Its other connections by the same library are not ours to silence.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["unlogged"]

_ours: ContextVar[bool] = ContextVar("our_connection", default=False)
# A logger's filter does not see what the loggers below it are given, so each has one.
_LOGGERS = (
    "aiormq.connection",
    "aiormq.connection.marshall",
    "aiormq.channel",
    "aio_pika.connection",
    "aio_pika.channel",
    "aio_pika.queue",
    "aio_pika.message",
    "aio_pika.tools",
)


def _is_wanted(record: logging.LogRecord) -> bool:
    """Whether it is of another connection; or somebody asks for all that the library does."""
    return not _ours.get() or logging.getLogger(record.name).isEnabledFor(logging.DEBUG)


for _name in _LOGGERS:
    logging.getLogger(_name).addFilter(_is_wanted)


@contextmanager
def unlogged() -> Iterator[None]:
    """Have the library log nothing during the ``with``, nor ever in the tasks and callbacks that begin there."""
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)
