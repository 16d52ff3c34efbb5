"""A sticky connection: one connection that a single sender keeps across its statements."""

import asyncio
from collections.abc import Sequence
from time import monotonic

from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.connections.translation import DRIVER_ERRORS
from eventstore.postgres.drivers.protocol import Connection, Row

__all__ = ["StickyConnection"]

# Seconds. Other users of a handed-in pool may wait for a connection, which the pool does not show: its connection is
# kept at most this long while idle, and this long in all.
_REST_SECONDS = 0.05
_WORK_SECONDS = 1.0


class StickyConnection:
    """Keeps a connection between the statements of one sender, which runs them one after another.

    Taking a connection from the pool and returning it takes longer than many statements. When the pool has none left, a
    caller gets the connection of an idle sticky connection.

    Args:
        pool: The pool of the server.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._kept: Connection | None = None
        self._epoch = pool.epoch
        self._resting = False
        # When the connection was taken, and when it became idle, by ``monotonic``.
        self._since = self._rests_since = 0.0
        self._watching: asyncio.Task[None] | None = None
        pool.keepers.append(self)

    async def take(self, seconds: float | None = None) -> Connection:
        """Begin a statement. The caller ends it with ``rest``, or with ``drop`` if it failed.

        Args:
            seconds: The timeout in seconds for a connection; None to wait without a limit.

        Returns:
            The connection.

        Raises:
            EventStoreError: No connection was available, as in ``Pool.acquire``.
        """
        self._resting = False
        if self._kept is not None and (self._epoch != self._pool.epoch or _is_gone(self._kept)):
            await self.drop()
        if self._kept is None:
            self._epoch = self._pool.epoch
            self._kept = await self._pool.acquire(seconds)
            self._since = monotonic()
        return self._kept

    async def rest(self) -> None:
        """End a statement that succeeded. The connection is kept, unless another caller waits for one."""
        self._resting = True
        if self._pool.wanted:
            await self.drop()
        elif self._pool.lends:
            self._rests_since = monotonic()
            if self._rests_since - self._since > _WORK_SECONDS:
                await self.drop()
            elif self._watching is None:
                self._watching = asyncio.create_task(self._give_back())

    async def _give_back(self) -> None:
        """Return the connection to its pool once it has been idle long enough."""
        try:
            while self._kept is not None:
                rested = monotonic() - self._rests_since if self._resting else 0.0
                if rested < _REST_SECONDS:
                    await asyncio.sleep(_REST_SECONDS - rested)
                else:
                    await self.drop()
        finally:
            # Not before the connection is back in its pool: ``close`` waits for that.
            self._watching = None

    async def drop(self) -> None:
        """Return the connection to its pool, whatever state it is in."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await self._pool.release(kept)

    async def close(self) -> None:
        """Return the connection for good: when this returns, it is in its pool with its settings restored."""
        await self.drop()
        if self._watching is not None:
            await asyncio.wait([self._watching])

    @property
    def rests(self) -> bool:
        """Whether it keeps a connection that runs no statement."""
        return self._resting and self._kept is not None

    async def make_room(self) -> None:
        """Return the connection to its pool if no statement runs on it."""
        if self.rests:
            await self.drop()

    async def fetch(self, sql: str, parameters: Sequence[object], *, seconds: float) -> Sequence[Row]:
        """Run one reading statement, with the retry of ``Pool.once_more``.

        Args:
            sql: The SQL text, as written for the default schema.
            parameters: The values of its parameters.
            seconds: The timeout in seconds, both for a connection and for the answer.

        Raises:
            EventStoreError: The statement failed, as ``translate`` classifies it.
        """
        text = self._pool.schema.render(sql)
        return await self._pool.once_more(lambda: self._fetch(text, parameters, seconds))

    async def _fetch(self, sql: str, parameters: Sequence[object], seconds: float) -> Sequence[Row]:
        connection = await self.take(seconds)
        try:
            rows = await connection.fetch(sql, *parameters, timeout=seconds)
        except TimeoutError as error:
            server = self._pool.server_of(connection)
            await self.drop()
            raise await self._pool.judge(server, error) from error
        except BaseException:
            await self.drop()
            raise
        await self.rest()
        return rows


def _is_gone(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except DRIVER_ERRORS:
        return True  # the pool has taken it back, as it does with a connection that the server closes
