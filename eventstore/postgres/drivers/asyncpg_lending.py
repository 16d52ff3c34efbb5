"""Lends connections of a program's own ``asyncpg.Pool``."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import asyncpg

from eventstore.postgres.drivers.asyncpg import place_of
from eventstore.postgres.drivers.handed_in import HandedIn
from eventstore.postgres.drivers.protocol import Connection
from eventstore.stream import ServerAddress

if TYPE_CHECKING:
    _Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    _Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]

__all__ = ["AsyncpgLender", "lift_timeout", "restore_timeout"]


def lift_timeout(connection: "_Connection") -> object:
    """Lift the timeout that a program's connection has for each statement; return it for ``restore_timeout``.

    An append that a timeout cuts short may have been committed.
    """
    its = cast("Any", connection)
    before = its._config  # noqa: SLF001  the driver has no public way to change it
    its._config = before._replace(command_timeout=None)  # noqa: SLF001  the same
    return before


def restore_timeout(connection: "_Connection", before: object) -> None:
    """Restore what ``lift_timeout`` returned."""
    cast("Any", connection)._config = before  # noqa: SLF001  the same


class AsyncpgLender(HandedIn):
    """See ``HandedIn``."""

    def __init__(self, pool: object) -> None:
        self._pool = cast("_Pool", pool)
        # Each with the connection that the pool's proxy stands for, and its timeout.
        self._lent: dict[Any, tuple[_Connection, object]] = {}

    def __await__(self) -> Generator[Any, None, Any]:
        """Open the pool, if the program has not done so."""
        return self._opened().__await__()

    async def _opened(self) -> None:
        # Without a first connection: if that one failed, the pool would be closed for good.
        its = cast("Any", self._pool)
        initial, its._initsize = its._initsize, 0  # noqa: SLF001  the pool has no public way
        try:
            await self._pool
        finally:
            its._initsize = initial  # noqa: SLF001  the same

    async def acquire(self) -> Any:
        """See ``ConnectionPool.acquire``. A pool that is not open is opened."""
        await self._opened()
        proxy: Any = await self._pool.acquire()
        native = proxy._con  # noqa: SLF001  the proxy has no public way
        self._lent[proxy] = native, lift_timeout(native)
        return proxy

    async def release(self, connection: Any, /, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  the protocol's form
        """See ``ConnectionPool.release``."""
        if (found := self._lent.pop(connection, None)) is not None:
            restore_timeout(*found)
        await self._pool.release(connection, timeout=timeout)

    async def expire_connections(self) -> None:
        """See ``ConnectionPool.expire_connections``."""
        await self._pool.expire_connections()

    def get_size(self) -> int:
        """See ``ConnectionPool.get_size``."""
        return self._pool.get_size()

    def get_idle_size(self) -> int:
        """See ``ConnectionPool.get_idle_size``."""
        return self._pool.get_idle_size()

    def get_max_size(self) -> int:
        """See ``ConnectionPool.get_max_size``."""
        return self._pool.get_max_size()

    def terminate(self) -> None:
        """Do nothing: the pool belongs to the program."""

    async def close(self) -> None:
        """Do nothing: the pool belongs to the program."""

    async def spare(self) -> Connection:
        """See ``HandedIn.spare``."""
        # Outside the pool: all of its own connections may be waiting for the statement that this one asks about.
        return cast("Connection", await self._pool._get_new_connection())  # type: ignore[attr-defined]  # noqa: SLF001  the pool has no public way

    def place_of(self, connection: Connection) -> ServerAddress | None:
        """See ``HandedIn.place_of``."""
        return place_of(connection)
