"""Sessions: a connection of the caller's own, on which it runs transactions with statements of its own.

Nothing is kept in the session between two transactions, so that a pooler in transaction mode may stand in between.
"""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, cast

from eventstore.errors import EventStoreError
from eventstore.postgres.connections.address import Address
from eventstore.postgres.connections.dialing import Dialer, SessionAttribute
from eventstore.postgres.connections.translation import DRIVER_ERRORS, translate
from eventstore.postgres.drivers.asyncpg import AsyncpgConnection
from eventstore.postgres.drivers.protocol import Row
from eventstore.postgres.schema import Schema
from eventstore.schema_name import DEFAULT_SCHEMA

__all__ = ["Prepared", "Session", "Transaction"]

_CLOSE_SECONDS = 2.0


def _ending(how: str, transaction: "Transaction") -> str:
    return "; ".join([*(f"DEALLOCATE {name}" for name in transaction.names), how]).rstrip("; ")


class _Statement(Protocol):
    def get_parameters(self) -> Sequence[object]: ...
    async def fetch(self, *values: object) -> Sequence[Row]: ...


class Prepared:
    """A statement of a transaction that the server has read already."""

    def __init__(self, statement: _Statement) -> None:
        self._statement = statement

    @property
    def parameters(self) -> int:
        """How many values it takes."""
        return len(self._statement.get_parameters())

    async def run(self, *values: object) -> Sequence[Mapping[str, Any]]:
        """Run it with bound values, and return its rows."""
        return [dict(row) for row in await self._statement.fetch(*values)]


class Transaction:
    """A transaction that is open. What it raises is said in ``Session.transaction``.

    Attributes:
        schema: That of its session.
        names: Those of its prepared statements, which end with it.
    """

    def __init__(self, connection: AsyncpgConnection, schema: Schema) -> None:
        self.schema = schema
        self.names: list[str] = []
        self._connection = connection

    async def fetch(self, sql: str, *values: object) -> Sequence[Mapping[str, Any]]:
        """Run a statement with bound values, and return its rows."""
        return [dict(row) for row in await self._connection.fetch(sql, *values)]

    async def fetch_own(self, sql: str, *values: object) -> Sequence[Mapping[str, Any]]:
        """Run a statement of the store's, as ``fetch``; it is read for its schema."""
        return await self.fetch(self.schema.render(sql), *values)

    async def prepare_own(self, sql: str) -> Prepared:
        """Have the server read a statement of the store's, as ``prepare``; it is read for its schema."""
        return await self.prepare(self.schema.render(sql))

    async def prepare(self, sql: str) -> Prepared:
        """Have the server read a statement, which is run later.

        The driver sends a statement in two exchanges, and between them the server counts as active: of a process that
        is frozen there, no ``idle_in_transaction_session_timeout`` ends the transaction, and its locks stay. What holds
        locks that others wait for is therefore prepared before it takes them, and then run in one exchange each.
        """
        # Through a pooler, another client may have used the same server before: a name is given once.
        name = f"s{secrets.token_hex(8)}"
        self.names.append(name)
        return Prepared(await self._connection.prepare(sql, name=name))

    async def script(self, sql: str) -> None:
        """Run statements without values, such as those that make tables."""
        await self._connection.execute(sql)


class Session:
    """One connection to a database, which is made when it is needed, and again when it has broken.

    Args:
        url: The database. Of several hosts in it, the one that accepts writes is used, unless ``reads`` says otherwise.
        purpose: How the connection appears in ``pg_stat_activity``.
        schema: That of the store whose statements are run in it. They are read for it by who has them.
        reads: Whether any host will do.

    Raises:
        StoreMisconfigured: No schema can be called so, or the address is no use.
    """

    def __init__(self, url: str, *, purpose: str, schema: str = DEFAULT_SCHEMA, reads: bool = False) -> None:
        wanted = SessionAttribute.any if reads else SessionAttribute.read_write
        self._dialer = Dialer(Address.of(url), purpose=purpose, wanted=wanted, cached=False)
        self._connection: AsyncpgConnection | None = None
        self._schema = Schema(schema)

    @property
    def schema(self) -> Schema:
        """That of the store whose statements are run in it."""
        return self._schema

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
        transaction: Transaction | None = None
        is_done = False
        try:
            local = ", ".join(f"('{name}', '{value}')" for name, value in settings.items())
            # A parameter that an older server does not have is passed over.
            known = "SELECT set_config(s.name, w.value, true) FROM pg_catalog.pg_settings s"
            chosen = f"; {known} JOIN (VALUES {local}) AS w (name, value) ON s.name = w.name" if local else ""
            await connection.execute(f"BEGIN ISOLATION LEVEL READ COMMITTED{chosen}")
            transaction = Transaction(connection, self._schema)
            yield transaction
            await connection.execute(_ending("COMMIT", transaction))
            is_done = True
        except DRIVER_ERRORS as error:
            raise translate(error, self._schema) from error
        finally:
            if not is_done:
                await self._roll_back(connection, transaction)

    async def close(self) -> None:
        """Close the connection. Safe to repeat."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*DRIVER_ERRORS):
                await connection.close(timeout=_CLOSE_SECONDS)

    async def _connected(self) -> AsyncpgConnection:
        if self._connection is None or self._connection.is_closed():
            self._connection = cast("AsyncpgConnection", await self._dialer.dial())
        return self._connection

    async def _roll_back(self, connection: AsyncpgConnection, transaction: Transaction | None) -> None:
        try:
            if not connection.is_closed():
                await connection.execute("ROLLBACK", timeout=_CLOSE_SECONDS)
                if transaction is not None and transaction.names:
                    await connection.execute(_ending("", transaction), timeout=_CLOSE_SECONDS)
                return
        except (*DRIVER_ERRORS, EventStoreError):
            pass
        except BaseException:
            self._drop(connection)
            raise
        self._drop(connection)

    def _drop(self, connection: AsyncpgConnection) -> None:
        connection.terminate()
        if self._connection is connection:
            self._connection = None
