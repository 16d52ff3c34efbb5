"""Confirmation: a commit that a synchronous standby does not have is answered as success, with a warning beside it.

So it is when somebody cancels the wait for the standby. The commit has happened, and is lost if the standby is
promoted.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from eventstore.errors import OutcomeUnknown
from eventstore.postgres.drivers.errors import DRIVER_ERRORS
from eventstore.postgres.drivers.protocol import Connection, Message

__all__ = ["confirmed"]

_WARNING = "01000"


@contextmanager
def confirmed(connection: Connection) -> Iterator[None]:
    """Take the outcome of a commit for unknown if the server warns beside it.

    Args:
        connection: On which the statement that commits is sent.

    Raises:
        OutcomeUnknown: It warned. Sent again with its key, it waits for the standby again.
    """
    warnings: list[str] = []

    def listen(_connection: object, message: Message) -> None:
        # The server has no code of its own for it; another warning beside a commit costs one more round trip.
        if message.sqlstate == _WARNING:
            warnings.append(str(message))

    connection.add_log_listener(listen)
    try:
        yield
    finally:
        with suppress(*DRIVER_ERRORS):  # the pool has taken back a connection that the server closed
            connection.remove_log_listener(listen)
    if warnings:
        raise OutcomeUnknown(f"an append was committed, perhaps without its standby: {warnings[0]}", code=_WARNING)
