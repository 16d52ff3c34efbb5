"""A pool of connections that the store opens itself, for drivers whose own pool hides why connecting fails."""

import asyncio
from collections import deque
from collections.abc import Generator
from time import monotonic
from typing import Any

from eventstore.postgres.drivers.protocol import ConnectionPool, Dial, DriverError, Failure

__all__ = ["DialledPool"]

# Seconds after which an idle connection is closed.
_REST_SECONDS = 300.0


class DialledPool(ConnectionPool):
    """A ``ConnectionPool`` that lends the most recently used connection first.

    Args:
        dial: Opens a connection.
        first: The number of connections that are opened when the pool is awaited.
        size: The largest number of connections.
    """

    def __init__(self, dial: Dial, *, first: int, size: int) -> None:
        self._dial = dial
        self._first = first
        self._size = size
        self._room = asyncio.Semaphore(size)
        # Each with the generation that it was opened in, and the time since when it is idle, by ``monotonic``.
        self._idle: deque[tuple[int, float, Any]] = deque()
        self._lent: dict[Any, int] = {}
        self._generation = 0
        self._is_closing = False
        self._returned = asyncio.Event()

    def __await__(self) -> Generator[Any, None, "DialledPool"]:
        """See ``ConnectionPool``."""
        return self._opened().__await__()

    async def _opened(self) -> "DialledPool":
        for connection in [await self.acquire() for _ in range(self._first)]:
            await self.release(connection)
        return self

    async def acquire(self) -> Any:
        """See ``ConnectionPool.acquire``."""
        await self._room.acquire()
        try:
            self._check_open()
            while self._idle:
                generation, _, connection = self._idle.pop()
                if generation == self._generation and not connection.is_closed():
                    self._lent[connection] = generation
                    return connection
                connection.terminate()
            generation = self._generation
            connection = await self._dial()
        except BaseException:
            self._room.release()
            raise
        self._lent[connection] = generation
        return connection

    def _check_open(self) -> None:
        if self._is_closing:
            raise DriverError("the pool is closed", failure=Failure.LOSS)

    async def release(self, connection: Any, /, *, timeout: float | None = None) -> None:  # noqa: ASYNC109, ARG002  the protocol's form; nothing in it waits for long
        """See ``ConnectionPool.release``."""
        generation = self._lent.pop(connection, None)
        if generation is None:
            return
        try:
            await connection.settled()
            if generation != self._generation or self._is_closing or connection.is_in_transaction():
                connection.terminate()
            elif not connection.is_closed():
                self._idle.append((generation, monotonic(), connection))
            self._let_go()
        finally:
            self._room.release()
            self._returned.set()

    def _let_go(self) -> None:
        while self._idle and monotonic() - self._idle[0][1] > _REST_SECONDS:
            self._idle.popleft()[2].terminate()

    async def expire_connections(self) -> None:
        """See ``ConnectionPool.expire_connections``."""
        self._generation += 1

    def get_size(self) -> int:
        """See ``ConnectionPool.get_size``."""
        return len(self._idle) + len(self._lent)

    def get_idle_size(self) -> int:
        """See ``ConnectionPool.get_idle_size``."""
        return len(self._idle)

    def get_max_size(self) -> int:
        """See ``ConnectionPool.get_max_size``."""
        return self._size

    def terminate(self) -> None:
        """See ``ConnectionPool.terminate``."""
        self._is_closing = True
        for connection in (*self._lent, *(connection for _, _, connection in self._idle)):
            connection.terminate()
        self._idle.clear()

    async def close(self) -> None:
        """See ``ConnectionPool.close``."""
        self._is_closing = True
        while self._lent:
            self._returned.clear()
            await self._returned.wait()
        while self._idle:
            await self._idle.pop()[2].close()
