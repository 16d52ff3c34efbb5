"""Confirmation: detects a commit that its synchronous standby may not have.

If the wait for the standby is cancelled, the server answers the commit as a success with a warning. The commit has
happened, and is lost if the standby is promoted.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from eventstore.errors import OutcomeUnknown, StoreMisconfigured
from eventstore.postgres.drivers.errors import DRIVER_ERRORS
from eventstore.postgres.drivers.protocol import Connection, Message

__all__ = ["check_durability", "confirmed"]

_WARNING = "01000"
# The values that append_v1 accepts.
_DURABLE = {"on", "remote_apply"}


@contextmanager
def confirmed(connection: Connection) -> Iterator[None]:
    """Treat the outcome of a commit as unknown if the server sends a warning with it.

    Args:
        connection: The connection that the committing statement is sent on. Its session must have warnings sent
            (``client_min_messages``).

    Raises:
        OutcomeUnknown: The server sent a warning. A retry with the same key waits for the standby again.
    """
    warnings: list[str] = []

    def listen(_connection: object, message: Message) -> None:
        # The server has no specific code for this warning; another warning with a commit costs one more round trip.
        if message.sqlstate == _WARNING:
            warnings.append(str(message))

    connection.add_log_listener(listen)
    try:
        yield
    finally:
        with suppress(*DRIVER_ERRORS):  # the pool has taken back a connection that the server closed
            connection.remove_log_listener(listen)
    if warnings:
        raise OutcomeUnknown(f"a transaction was committed, perhaps without its standby: {warnings[0]}", code=_WARNING)


def check_durability(durability: str) -> None:
    """Check that commits of a session survive a crash.

    Args:
        durability: The session's ``synchronous_commit``.

    Raises:
        StoreMisconfigured: They do not.
    """
    if durability not in _DURABLE:
        raise StoreMisconfigured(
            f"the database's synchronous_commit must be 'on' or 'remote_apply', not {durability!r}: "
            "a crash could lose what was promised; change it with ALTER DATABASE or ALTER ROLE"
        )
