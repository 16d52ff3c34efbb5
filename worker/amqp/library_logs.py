"""The library's logs: nothing is logged by the library about the worker's own connections.

A lost connection is opened again, or reported to the caller that waits.

The library logs a traceback when a broker closes a connection, and an error for each attempt to reconnect. A program
that publishes would show these as its own. Other connections that it makes with the library are not silenced.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["unlogged"]

_ours: ContextVar[bool] = ContextVar("our_connection", default=False)
# A logger's filter does not apply to records of its child loggers, so each logger has one.
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
    """Whether the record is about another connection, or the logger's level is DEBUG."""
    return not _ours.get() or logging.getLogger(record.name).isEnabledFor(logging.DEBUG)


for _name in _LOGGERS:
    logging.getLogger(_name).addFilter(_is_wanted)


@contextmanager
def unlogged() -> Iterator[None]:
    """Suppress the library's logs inside the ``with``, and for good in tasks and callbacks that begin there."""
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)
