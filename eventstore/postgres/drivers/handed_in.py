"""What a program hands in: its own pool or engine, which lends connections, and gets each back as it was."""

from typing import Protocol

from eventstore.postgres.drivers.protocol import Connection, ConnectionPool
from eventstore.stream import ServerAddress

__all__ = ["HandedIn"]


class HandedIn(ConnectionPool, Protocol):
    """A program's own pool.

    Its connections are lent in autocommit mode. Nothing ends it: ``close`` and ``terminate`` leave it as it is.
    """

    async def spare(self) -> Connection:
        """Make a connection as the pool does, that is not one of the pool's. Its caller ends it.

        Raises:
            DRIVER_ERRORS: It cannot be made.
        """

    def place_of(self, connection: Connection) -> ServerAddress | None:
        """Return where a connection leads."""
