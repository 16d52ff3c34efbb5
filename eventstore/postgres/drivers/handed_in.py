"""Pools and engines that a program hands in: they lend connections, and get each back with its settings restored."""

from typing import Protocol

from eventstore.postgres.drivers.protocol import Connection, ConnectionPool
from eventstore.stream import ServerAddress

__all__ = ["HandedIn"]


class HandedIn(ConnectionPool, Protocol):
    """A program's own pool or engine.

    It lends connections in autocommit mode. ``close`` and ``terminate`` do nothing, since it belongs to the program.
    """

    async def spare(self) -> Connection:
        """Open a connection as the pool does, but outside the pool. The caller closes it.

        Raises:
            DRIVER_ERRORS: Connecting failed.
        """

    def place_of(self, connection: Connection) -> ServerAddress | None:
        """Return the server that a connection leads to; None if it is unknown."""
