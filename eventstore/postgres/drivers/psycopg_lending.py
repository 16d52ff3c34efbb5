"""Lends psycopg connections of a program's own ``psycopg_pool.AsyncConnectionPool``, or of another pool."""

import asyncio
from collections.abc import Generator
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import psycopg

from eventstore.postgres.drivers.handed_in import HandedIn
from eventstore.postgres.drivers.protocol import Connection, DriverError, Failure
from eventstore.postgres.drivers.psycopg import PsycopgConnection
from eventstore.stream import ServerAddress

if TYPE_CHECKING:
    from psycopg_pool import AsyncConnectionPool

    _Connection: TypeAlias = psycopg.AsyncConnection[Any]
    _Pool: TypeAlias = AsyncConnectionPool[_Connection]

__all__ = ["PsycopgLender", "hand_back", "lent", "place_of"]


async def lent(connection: "_Connection") -> tuple[PsycopgConnection, bool]:
    """Return a lent connection in autocommit mode, and whether it was in autocommit mode before."""
    mode = connection.autocommit
    if not mode and not connection.closed:
        await connection.set_autocommit(True)
    return PsycopgConnection(connection, place_of(connection)), mode


async def hand_back(connection: PsycopgConnection, mode: bool) -> None:  # noqa: FBT001  what ``lent`` returned
    """Restore the autocommit mode of a connection."""
    connection.leave()
    native = connection.native
    if native.closed:
        return
    if connection.is_in_transaction():
        connection.terminate()
    elif not mode:
        await native.set_autocommit(False)


def place_of(connection: "_Connection") -> ServerAddress | None:
    """Return the server that a connection leads to; None if the connection is closed."""
    if connection.closed:
        return None
    return ServerAddress(host=connection.info.host, port=connection.info.port)


class PsycopgLender(HandedIn):
    """See ``HandedIn``."""

    def __init__(self, pool: object) -> None:
        self._pool = cast("_Pool", pool)
        self._lent: dict[PsycopgConnection, bool] = {}

    def __await__(self) -> Generator[Any, None, Any]:
        """Open the pool, if the program has not done so."""
        return self._opened().__await__()

    async def _opened(self) -> None:
        try:
            if self._pool.closed:
                await self._pool.open()
        except psycopg.Error as error:  # the program has closed it, and it cannot be opened again
            raise DriverError(str(error), failure=Failure.LOSS) from error

    async def acquire(self) -> Any:
        """See ``ConnectionPool.acquire``. A pool that is not open is opened."""
        try:
            await self._opened()
            native = await self._pool.getconn()
        except psycopg.Error as error:
            raise DriverError(str(error), failure=Failure.LOSS) from error
        try:
            # The pool's check may have begun a transaction: what the store records in it would be rolled back.
            await native.commit()
            connection, mode = await lent(native)
        except psycopg.Error as error:
            await asyncio.shield(self._pool.putconn(native))
            raise DriverError(str(error), failure=Failure.LOSS) from error
        except BaseException:
            await asyncio.shield(self._pool.putconn(native))
            raise
        self._lent[connection] = mode
        return connection

    async def release(self, connection: Any, /, *, timeout: float | None = None) -> None:  # noqa: ASYNC109, ARG002  the protocol's form; nothing in it waits for long
        """See ``ConnectionPool.release``."""
        if (mode := self._lent.pop(connection, None)) is not None:
            try:
                await hand_back(connection, mode)
            finally:
                await asyncio.shield(self._pool.putconn(connection.native))

    async def expire_connections(self) -> None:
        """See ``ConnectionPool.expire_connections``."""
        await self._pool.drain()

    def get_size(self) -> int:
        """See ``ConnectionPool.get_size``."""
        return self._pool.get_stats().get("pool_size", 0)

    def get_idle_size(self) -> int:
        """See ``ConnectionPool.get_idle_size``."""
        return self._pool.get_stats().get("pool_available", 0)

    def get_max_size(self) -> int:
        """See ``ConnectionPool.get_max_size``."""
        return self._pool.max_size

    def terminate(self) -> None:
        """Do nothing: the pool belongs to the program."""

    async def close(self) -> None:
        """Do nothing: the pool belongs to the program."""

    async def spare(self) -> Connection:
        """See ``HandedIn.spare``."""
        conninfo, options = [await _resolved(each) for each in (self._pool.conninfo, self._pool.kwargs)]
        try:
            native = await self._pool.connection_class.connect(
                conninfo or "", **{**(options or {}), "autocommit": True}
            )
        except psycopg.Error as error:
            raise DriverError(str(error), failure=Failure.LOSS) from error
        return PsycopgConnection(native, place_of(native))

    def place_of(self, connection: Connection) -> ServerAddress | None:
        """See ``HandedIn.place_of``."""
        return connection.server if isinstance(connection, PsycopgConnection) else None


async def _resolved(given: Any) -> Any:
    found = given() if callable(given) else given
    return await found if isawaitable(found) else found
