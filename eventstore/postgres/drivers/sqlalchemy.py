"""SQLAlchemy 2: an ``AsyncEngine``, over asyncpg or psycopg. Installed by the extra ``sqlalchemy``.

The engine opens and pools the connections. Statements go directly to the driver connection beneath: they are written
for PostgreSQL and gain nothing from compilation.
"""

import asyncio
import time
import weakref
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, TypeVar, cast

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AssertionPool, AsyncAdaptedQueuePool, PoolProxiedConnection, QueuePool, StaticPool
from sqlalchemy.util import greenlet_spawn

from eventstore.errors import EventStoreError, StoreMisconfigured
from eventstore.postgres.drivers.asyncpg import AsyncpgDriver
from eventstore.postgres.drivers.asyncpg import place_of as place_of_asyncpg
from eventstore.postgres.drivers.asyncpg_lending import lift_timeout, restore_timeout
from eventstore.postgres.drivers.errors import DRIVER_ERRORS
from eventstore.postgres.drivers.handed_in import HandedIn
from eventstore.postgres.drivers.protocol import (
    Connection,
    ConnectionPool,
    Dial,
    Dialling,
    Driver,
    DriverError,
    Failure,
)
from eventstore.stream import ServerAddress

__all__ = ["EngineDriver", "EngineLender"]

# The caller sets the timeout for a connection; the engine's must not apply.
_PATIENCE_SECONDS = 24 * 3600.0

T = TypeVar("T")


class EngineDriver(Driver):
    """The store's own engine, over asyncpg."""

    async def dial(self, dialling: Dialling) -> Connection:
        """See ``Driver.dial``."""
        return await AsyncpgDriver().dial(dialling)

    def pool(self, dial: Dial, *, first: int, size: int) -> ConnectionPool:
        """See ``Driver.pool``."""
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=dial,
            poolclass=AsyncAdaptedQueuePool,
            pool_size=size,
            max_overflow=0,
            pool_timeout=_PATIENCE_SECONDS,
            pool_use_lifo=True,
        )
        return _OwnEngine(engine, first=first)


class EngineLender(HandedIn):
    """See ``HandedIn``.

    Raises:
        StoreMisconfigured: The engine's pool does not give each caller a connection of its own.
    """

    def __init__(self, engine: object) -> None:
        self._engine = cast("AsyncEngine", engine)
        pool = self._engine.sync_engine.pool
        if isinstance(pool, StaticPool | AssertionPool):
            raise StoreMisconfigured(
                f"an engine with a {type(pool).__name__} cannot be handed in: it has one connection for all callers at "
                "a time; use SQLAlchemy's own choice of a pool, or NullPool"
            )
        # Each with the engine's handle for it, and what ``_used`` returned to restore.
        self._lent: dict[Any, tuple[PoolProxiedConnection, Any]] = {}

    def __await__(self) -> Generator[Any, None, Any]:
        """Do nothing: an engine connects on first use."""
        return _nothing().__await__()

    async def acquire(self) -> Any:
        """See ``ConnectionPool.acquire``."""
        while True:
            raw = await _asked(self._engine.sync_engine.raw_connection)
            try:
                # A statement of a listener begins a transaction: what the store records in it would be rolled back when
                # the connection is returned.
                await _asked(raw.commit)
                connection, before = await _used(raw.driver_connection)
            except BaseException:
                await asyncio.shield(_asked(raw.invalidate))
                raise
            if not connection.is_closed():
                self._lent[connection] = raw, before
                return connection
            # It was closed while idle. The engine opens another.
            await asyncio.shield(_asked(raw.invalidate))

    async def release(self, connection: Any, /, *, timeout: float | None = None) -> None:  # noqa: ASYNC109, ARG002  the protocol's form; nothing in it waits for long
        """See ``ConnectionPool.release``."""
        found = self._lent.pop(connection, None)
        if found is not None:
            await asyncio.shield(self._returned(connection, *found))

    async def _returned(self, connection: Any, raw: PoolProxiedConnection, before: Any) -> None:
        whole = False
        try:
            if isinstance(connection, asyncpg.Connection):
                restore_timeout(connection, before)
            else:
                from eventstore.postgres.drivers.psycopg_lending import hand_back  # noqa: PLC0415  only over psycopg

                await hand_back(connection, before)
            whole = not connection.is_closed() and not connection.is_in_transaction()
        finally:
            with suppress(*DRIVER_ERRORS):
                await _asked(raw.close if whole else raw.invalidate)

    async def expire_connections(self) -> None:
        """See ``ConnectionPool.expire_connections``."""
        # As the engine does itself when one of its statements finds a connection broken.
        self._engine.sync_engine.pool._invalidate_time = time.time()  # noqa: SLF001  it has no public way

    def get_size(self) -> int:
        """See ``ConnectionPool.get_size``."""
        pool = self._engine.sync_engine.pool
        return pool.checkedin() + pool.checkedout() if isinstance(pool, QueuePool) else len(self._lent)

    def get_idle_size(self) -> int:
        """See ``ConnectionPool.get_idle_size``."""
        pool = self._engine.sync_engine.pool
        return pool.checkedin() if isinstance(pool, QueuePool) else 0

    def get_max_size(self) -> int:
        """See ``ConnectionPool.get_max_size``."""
        pool = self._engine.sync_engine.pool
        if not isinstance(pool, QueuePool) or pool._max_overflow < 0:  # noqa: SLF001  it has no other name
            return len(self._lent) + 1
        return pool.size() + pool._max_overflow  # noqa: SLF001  the same

    def terminate(self) -> None:
        """Do nothing: the engine belongs to the program."""

    async def close(self) -> None:
        """Do nothing: the engine belongs to the program."""

    async def spare(self) -> Connection:
        """See ``HandedIn.spare``."""
        # As the pool opens its own: by the program's creator, or by what its listeners make of the address.
        adapted = await _asked(self._engine.sync_engine.pool._invoke_creator, cast("Any", None))  # noqa: SLF001  nor has this
        connection, _ = await _used(adapted.driver_connection)
        return cast("Connection", connection)

    def place_of(self, connection: Connection) -> ServerAddress | None:
        """See ``HandedIn.place_of``."""
        if isinstance(connection, asyncpg.Connection):
            return place_of_asyncpg(connection)
        server = getattr(connection, "server", None)
        return server if isinstance(server, ServerAddress) else None


class _OwnEngine(EngineLender):
    """An engine that is disposed of with the store."""

    def __init__(self, engine: AsyncEngine, *, first: int) -> None:
        super().__init__(engine)
        self._first = first
        self._is_closing = False
        self._returned_one = asyncio.Event()
        self._resting: weakref.WeakSet[Any] = weakref.WeakSet()
        # Lent when ``expire_connections`` was called.
        self._expired: weakref.WeakSet[Any] = weakref.WeakSet()

    def __await__(self) -> Generator[Any, None, Any]:
        """See ``ConnectionPool``."""
        return self._opened().__await__()

    async def _opened(self) -> None:
        for connection in [await self.acquire() for _ in range(self._first)]:
            await self.release(connection)

    async def acquire(self) -> Any:
        """See ``ConnectionPool.acquire``."""
        if self._is_closing:
            raise DriverError("the engine is disposed of", failure=Failure.LOSS)
        connection = await super().acquire()
        self._resting.discard(connection)
        return connection

    async def release(self, connection: Any, /, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  the protocol's form
        """See ``ConnectionPool.release``."""
        if connection in self._expired:
            connection.terminate()
        await super().release(connection, timeout=timeout)
        if not connection.is_closed():
            self._resting.add(connection)
        self._returned_one.set()

    async def expire_connections(self) -> None:
        """See ``ConnectionPool.expire_connections``."""
        await super().expire_connections()
        # The engine closes each when it is next taken, and waits for two seconds if its server is silent.
        for connection in tuple(self._resting):
            connection.terminate()
        self._expired.update(self._lent)

    def terminate(self) -> None:
        """See ``ConnectionPool.terminate``."""
        self._is_closing = True
        for connection in tuple(self._lent):
            connection.terminate()

    async def close(self) -> None:
        """See ``ConnectionPool.close``."""
        self._is_closing = True
        while self._lent:
            self._returned_one.clear()
            await self._returned_one.wait()
        await self._engine.dispose()


async def _used(driver_connection: Any) -> tuple[Any, Any]:
    """Return a lent driver connection in the store's form, and its timeout or its autocommit mode, to be restored."""
    if isinstance(driver_connection, asyncpg.Connection):
        return driver_connection, lift_timeout(driver_connection)
    from eventstore.postgres.drivers.psycopg_lending import lent  # noqa: PLC0415  only over psycopg

    return await lent(driver_connection)


async def _asked(ask: Callable[..., T], *arguments: Any) -> T:
    """Run a SQLAlchemy function in a greenlet; raise the driver's own error instead of SQLAlchemy's."""
    try:
        return await greenlet_spawn(ask, *arguments)
    except SQLAlchemyError as error:
        cause = _beneath(error)
        raise cause if cause is not None else DriverError(str(error), failure=Failure.LOSS) from error
    except Exception as error:
        cause = _beneath(error)
        if cause is None or cause is error:
            raise
        raise cause from error


def _beneath(error: BaseException) -> BaseException | None:
    """Find the driver's own error that others wrap, or the store's own, which says more than the driver's."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, (*DRIVER_ERRORS, EventStoreError)):
        below = getattr(found, "orig", None) or found.__cause__
        if below is None and type(found).__module__.startswith("psycopg"):
            return DriverError(str(found), failure=Failure.LOSS, sqlstate=getattr(found, "sqlstate", None))
        found = below
    return found


async def _nothing() -> None:
    return
