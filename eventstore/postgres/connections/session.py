"""Sessions: a connection of the caller's own, on which it runs transactions with statements of its own.

Nothing is kept in the session between two transactions, so that a pooler in transaction mode may stand in between.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from asyncpg.connect_utils import SessionAttribute

from eventstore.errors import EventStoreError
from eventstore.postgres.connections.address import Address
from eventstore.postgres.connections.dialing import Dialer, DialledConnection
from eventstore.postgres.connections.translation import DRIVER_ERRORS, translate

__all__ = ["Session", "Transaction"]

_CLOSE_SECONDS = 2.0


class Transaction:
    """A transaction that is open. What it raises is said in ``Session.transaction``."""

    def __init__(self, connection: DialledConnection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *values: object) -> Sequence[Mapping[str, Any]]:
        """Run a statement with bound values, and return its rows."""
        return [dict(row) for row in await self._connection.fetch(sql, *values)]

    async def execute_many(self, sql: str, values: Iterable[Sequence[object]]) -> None:
        """Run a statement once for each of several lists of values."""
        await self._connection.executemany(sql, list(values))

    async def script(self, sql: str) -> None:
        """Run statements without values, such as those that make tables."""
        await self._connection.execute(sql)


class Session:
    """One connection to a database, which is made when it is needed, and again when it has broken.

    Args:
        url: The database. Of several hosts in it, the one that accepts writes is used, unless ``reads`` says otherwise.
        purpose: How the connection appears in ``pg_stat_activity``.
        reads: Whether any host will do.
    """

    def __init__(self, url: str, *, purpose: str, reads: bool = False) -> None:
        wanted = SessionAttribute.any if reads else SessionAttribute.read_write
        self._dialer = Dialer(Address.of(url), purpose=purpose, wanted=wanted, cached=False)
        self._connection: DialledConnection | None = None

    @asynccontextmanager
    async def transaction(self, **settings: str) -> AsyncIterator[Transaction]:
        """Run a transaction: committed at the end of the ``async with``, or rolled back where that raises.

        Args:
            settings: What holds in it alone, by the names of PostgreSQL's parameters.

        Raises:
            EventStoreError: As ``translate`` says. Where it is a ``RetryableError`` out of the commit, whether that
                happened is not known.

        On cancellation the connection is cut: the server rolls back what it had not been told to commit.
        """
        connection = await self._connected()
        is_done = False
        try:
            local = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
            begin = "BEGIN ISOLATION LEVEL READ COMMITTED"
            await connection.execute(f"{begin}; SELECT {local}" if local else begin)
            yield Transaction(connection)
            await connection.execute("COMMIT")
            is_done = True
        except DRIVER_ERRORS as error:
            raise translate(error) from error
        finally:
            if not is_done:
                await self._roll_back(connection)

    async def close(self) -> None:
        """Close the connection. Safe to repeat."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*DRIVER_ERRORS):
                await connection.close(timeout=_CLOSE_SECONDS)

    async def _connected(self) -> DialledConnection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._dialer.dial()
        return self._connection

    async def _roll_back(self, connection: DialledConnection) -> None:
        try:
            if not connection.is_closed():
                await connection.execute("ROLLBACK", timeout=_CLOSE_SECONDS)
                return
        except (*DRIVER_ERRORS, EventStoreError):
            pass
        except BaseException:
            self._drop(connection)
            raise
        self._drop(connection)

    def _drop(self, connection: DialledConnection) -> None:
        connection.terminate()
        if self._connection is connection:
            self._connection = None
