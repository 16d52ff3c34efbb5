"""A sticky connection: one connection to one server, kept by one sender over its statements."""

import asyncio
from collections.abc import Sequence
from time import monotonic

from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.connections.translation import DRIVER_ERRORS
from eventstore.postgres.drivers.protocol import Connection, Row

__all__ = ["StickyConnection"]

# Of a pool that was handed in, others wait for connections, which does not show: one is kept for so long while it
# rests, and for so long while it works.
_REST_SECONDS = 0.05
_WORK_SECONDS = 1.0


class StickyConnection:
    """Keeps a connection between the statements of one sender, which sends them one after another.

    Taking a connection from its pool and giving it back takes longer than many a statement. Whoever needs a connection
    when the pool has none left gets that of a line that rests.

    Args:
        pool: The server.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._kept: Connection | None = None
        self._epoch = pool.epoch
        self._resting = False
        # Since when it is kept, and since when it rests.
        self._since = self._rests_since = 0.0
        self._watching: asyncio.Task[None] | None = None
        pool.keepers.append(self)

    async def take(self, seconds: float | None = None) -> Connection:
        """Begin a statement. It ends with ``rest``, or with ``drop`` when it failed.

        Args:
            seconds: How long to wait for a connection; None for as long as it takes.

        Returns:
            The connection.

        Raises:
            EventStoreError: As ``Pool.acquire``.
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
        """End a statement that went well. The connection is kept, unless somebody waits for one."""
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
        """Give the connection back once it has rested for long enough."""
        try:
            while self._kept is not None:
                rested = monotonic() - self._rests_since if self._resting else 0.0
                if rested < _REST_SECONDS:
                    await asyncio.sleep(_REST_SECONDS - rested)
                else:
                    await self.drop()
        finally:
            # Not before the connection is in its pool: ``close`` waits for that.
            self._watching = None

    async def drop(self) -> None:
        """Give the connection back, whatever state it is in."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await self._pool.release(kept)

    async def close(self) -> None:
        """Give the connection back for good: it is in its pool, as it was, when this returns."""
        await self.drop()
        if self._watching is not None:
            await asyncio.wait([self._watching])

    @property
    def rests(self) -> bool:
        """Whether it keeps a connection on which no statement is under way."""
        return self._resting and self._kept is not None

    async def make_room(self) -> None:
        """Give the connection back if no statement is under way on it."""
        if self.rests:
            await self.drop()

    async def fetch(self, sql: str, parameters: Sequence[object], *, seconds: float) -> Sequence[Row]:
        """Run one reading statement, as ``Pool.once_more`` does.

        Args:
            sql: The statement.
            parameters: Its parameters.
            seconds: How long it may take, and how long it may wait for a connection.

        Raises:
            EventStoreError: As ``translate`` says.
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
