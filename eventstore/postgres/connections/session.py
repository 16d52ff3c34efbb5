"""Sessions: a dedicated connection for transactions with the caller's own statements.

A session keeps no state between two transactions, so a pooler in transaction mode may be in between.
"""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, cast

from eventstore.errors import EventStoreError
from eventstore.postgres.connections.address import Address
from eventstore.postgres.connections.confirmation import check_durability, confirmed
from eventstore.postgres.connections.dialing import Dialer, SessionAttribute
from eventstore.postgres.connections.translation import DRIVER_ERRORS, translate
from eventstore.postgres.drivers.asyncpg import AsyncpgConnection
from eventstore.postgres.drivers.protocol import Row
from eventstore.postgres.schema import Schema
from eventstore.schema_name import DEFAULT_SCHEMA

__all__ = ["Prepared", "Session", "Transaction"]

_CLOSE_SECONDS = 2.0
# See ``confirmed``.
_WARNED = {"client_min_messages": "warning"}


def _ending(how: str, transaction: "Transaction") -> str:
    return "; ".join([*(f"DEALLOCATE {name}" for name in transaction.names), how]).rstrip("; ")


class _Statement(Protocol):
    def get_parameters(self) -> Sequence[object]: ...
    async def fetch(self, *values: object) -> Sequence[Row]: ...


class Prepared:
    """A statement of a transaction that the server has prepared."""

    def __init__(self, statement: _Statement) -> None:
        self._statement = statement

    @property
    def parameters(self) -> int:
        """The number of parameters that the statement takes."""
        return len(self._statement.get_parameters())

    async def run(self, *values: object) -> Sequence[Mapping[str, Any]]:
        """Run the statement with bound values, and return its rows."""
        return [dict(row) for row in await self._statement.fetch(*values)]


class Transaction:
    """An open transaction. Its methods raise driver errors, which ``Session.transaction`` translates.

    Attributes:
        schema: The store schema of its session.
        names: The names of its prepared statements, which are deallocated at its end.
    """

    def __init__(self, connection: AsyncpgConnection, schema: Schema) -> None:
        self.schema = schema
        self.names: list[str] = []
        self._connection = connection

    async def fetch(self, sql: str, *values: object) -> Sequence[Mapping[str, Any]]:
        """Run a statement with bound values, and return its rows."""
        return [dict(row) for row in await self._connection.fetch(sql, *values)]

    async def fetch_own(self, sql: str, *values: object) -> Sequence[Mapping[str, Any]]:
        """Run one of the store's statements like ``fetch``, rewritten for the session's schema."""
        return await self.fetch(self.schema.render(sql), *values)

    async def prepare_own(self, sql: str) -> Prepared:
        """Prepare one of the store's statements like ``prepare``, rewritten for the session's schema."""
        return await self.prepare(self.schema.render(sql))

    async def prepare(self, sql: str) -> Prepared:
        """Have the server parse a statement, to be run later.

        The driver sends an unprepared statement in two exchanges, and between them the server counts the session as
        active: if the client process freezes there, ``idle_in_transaction_session_timeout`` does not end the
        transaction, and its locks stay. Statements that hold locks others wait for are therefore prepared before the
        locks are taken, and then run in one exchange each.
        """
        # Through a pooler, another client may have used the same server session: names must be unique.
        name = f"s{secrets.token_hex(8)}"
        self.names.append(name)
        return Prepared(await self._connection.prepare(sql, name=name))

    async def script(self, sql: str) -> None:
        """Run statements without parameters, such as DDL."""
        await self._connection.execute(sql)

    async def check_durable(self) -> None:
        """Check that a crash cannot lose what is committed, because somebody is promised it.

        Raises:
            StoreMisconfigured: The session's ``synchronous_commit`` is weaker than "on".
        """
        (row,) = await self.fetch("SELECT current_setting('synchronous_commit') AS durability")
        check_durability(row["durability"])


class Session:
    """One connection to a database; it is opened when needed, and reopened after it breaks.

    Args:
        url: The database URL. If it has several hosts, the one that accepts writes is used, unless ``reads`` is True.
        purpose: The purpose of the connection, shown in ``pg_stat_activity``.
        schema: The schema of the store whose statements run in the session. ``fetch_own`` and ``prepare_own`` rewrite
            statements for it.
        reads: Whether any host in the URL will do; by default False.

    Raises:
        StoreMisconfigured: The schema name or the database URL is not usable.
    """

    def __init__(self, url: str, *, purpose: str, schema: str = DEFAULT_SCHEMA, reads: bool = False) -> None:
        wanted = SessionAttribute.any if reads else SessionAttribute.read_write
        self._dialer = Dialer(Address.of(url), purpose=purpose, wanted=wanted, cached=False)
        self._connection: AsyncpgConnection | None = None
        self._schema = Schema(schema)

    @property
    def schema(self) -> Schema:
        """The schema of the store whose statements run in the session."""
        return self._schema

    @asynccontextmanager
    async def transaction(self, **settings: str) -> AsyncIterator[Transaction]:
        """Run a transaction; it commits at the end of the ``async with`` block and rolls back if the block raises.

        Args:
            settings: PostgreSQL parameters for this transaction only, by name. A parameter that the server does not
                know is ignored.

        Raises:
            EventStoreError: A statement failed, as ``translate`` classifies it. If the commit raises a
                ``RetryableError``, it is unknown whether the transaction was committed, or whether a synchronous
                standby has it.

        If the block is cancelled, the connection may be terminated: the server rolls back what it was not told to
        commit.
        """
        connection = await self._connected()
        transaction: Transaction | None = None
        is_done = False
        try:
            local = ", ".join(f"('{name}', '{value}')" for name, value in (_WARNED | settings).items())
            # A parameter that an older server does not know is skipped.
            known = "SELECT set_config(s.name, w.value, true) FROM pg_catalog.pg_settings s"
            await connection.execute(
                f"BEGIN ISOLATION LEVEL READ COMMITTED; {known} "
                f"JOIN (VALUES {local}) AS w (name, value) ON s.name = w.name"
            )
            transaction = Transaction(connection, self._schema)
            yield transaction
            with confirmed(connection):
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
