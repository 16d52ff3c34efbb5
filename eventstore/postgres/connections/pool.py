"""The pool: the connections to one server, and statements that any of them can run."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from eventstore.errors import EventStoreError, OutcomeUnknown, StoreUnavailable, TransientStoreError
from eventstore.position import START, Position
from eventstore.postgres.connections.confirmation import confirmed
from eventstore.postgres.connections.dialing import Dialer, server_of
from eventstore.postgres.connections.lending import LentConnections
from eventstore.postgres.connections.translation import DRIVER_ERRORS, is_connection_loss, translate
from eventstore.postgres.drivers.protocol import Connection, ConnectionPool, Row
from eventstore.postgres.schema import Schema
from eventstore.postgres.statements import statement
from eventstore.stream import ServerAddress

__all__ = ["ConnectionHolder", "Pool"]

_RELEASE_SECONDS = 1.0


class ConnectionHolder(Protocol):
    """An object that holds a connection while it is idle."""

    @property
    def rests(self) -> bool:
        """Whether it holds a connection that runs no statement."""

    async def make_room(self) -> None:
        """Return the connection to the pool if no statement runs on it."""


@dataclass(slots=True, eq=False)
class Pool:
    """The connections to one server.

    Attributes:
        connections: The driver's connection pool.
        address: The server's host and port, for messages and metrics.
        server: The server's host and port; None if the address names several servers.
        dialer: Connects outside the pool.
        lends: Whether the connections are borrowed from another program, which also waits for them; by default False.
        schema: The schema of the store; the statements run here are rewritten for it.
        head: The head of the server's log when it was last read.
        epoch: Incremented when connections made earlier must no longer be used.
        wanted: The number of callers that wait for a connection.
        warm: The ids of server processes whose sessions were prepared for holding the lock. If an id is reused, the
            first hold of the new session is slower.
        keepers: The holders of idle connections, which return them on request.
    """

    connections: ConnectionPool
    address: str
    dialer: Dialer | LentConnections
    server: ServerAddress | None = None
    head: Position = START
    epoch: int = 0
    wanted: int = 0
    warm: set[int] = field(default_factory=set)
    keepers: list[ConnectionHolder] = field(default_factory=list)
    lends: bool = False
    schema: Schema = field(default_factory=Schema)

    @property
    def idle(self) -> int:
        """The number of open connections that run no statement."""
        return self.connections.get_idle_size() + sum(keeper.rests for keeper in self.keepers)

    async def acquire(self, seconds: float | None = None) -> Connection:
        """Take a connection from the pool.

        Args:
            seconds: The timeout in seconds; None to wait without a limit.

        Raises:
            EventStoreError: No connection was available within the timeout, or connecting failed, as ``translate``
                classifies it.
        """
        self.wanted += 1
        try:
            async with asyncio.timeout(seconds):
                if self.connections.get_size() >= self.connections.get_max_size():
                    for keeper in self.keepers:
                        if self.connections.get_idle_size():
                            break
                        await keeper.make_room()
                connection: Connection = await self.connections.acquire()
                return connection
        except TimeoutError as error:
            raise StoreUnavailable(
                f"PostgreSQL cannot be reached: within {seconds} s no connection to {self.address} was made or free",
                code=type(error).__name__,
            ) from error
        except DRIVER_ERRORS as error:
            raise translate(error, self.schema) from error
        finally:
            self.wanted -= 1

    async def release(self, connection: Connection) -> None:
        """Return a connection to the pool. It is closed if its server does not confirm the reset in time."""
        with suppress(*DRIVER_ERRORS):
            await self.connections.release(connection, timeout=_RELEASE_SECONDS)

    def server_of(self, connection: Connection) -> ServerAddress | None:
        """Return the server that a connection leads to; None if only the driver knows."""
        return self.dialer.place_of(connection) if isinstance(self.dialer, LentConnections) else server_of(connection)

    async def again(self, server: ServerAddress | None) -> Connection:
        """Connect outside the pool, for a query that cannot wait for a pooled connection.

        Args:
            server: The server to connect to, as returned by ``server_of``: no other server can answer the query.

        Raises:
            StoreUnavailable: That server cannot be reached; other servers in the address are not tried.
            EventStoreError: Connecting failed in another way, as ``translate`` classifies it.
        """
        return await self.dialer.again(server)

    async def renew(self) -> None:
        """Retire the present connections, each once it is free; new ones choose a server of the address again."""
        self.epoch += 1
        await self.connections.expire_connections()

    async def fetch(self, sql: str, parameters: Sequence[object] = (), *, seconds: float) -> Sequence[Row]:
        """Run one reading statement, and retry once on a new connection if the first one breaks.

        Args:
            sql: The SQL text, as written for the default schema.
            parameters: The values of its parameters; by default none.
            seconds: The timeout in seconds, both for a connection and for the answer.

        Raises:
            EventStoreError: The statement failed, as ``translate`` classifies it.
        """
        text = self.schema.render(sql)
        return await self.once_more(lambda: self._fetch(text, parameters, seconds))

    async def once_more(self, ask: Callable[[], Awaitable[Sequence[Row]]]) -> Sequence[Row]:
        """Run a read, and retry once on a new connection if the first one breaks.

        A server restart or an administrator ends idle connections, which is noticed only at the next statement.

        Args:
            ask: Runs the read on a connection of this pool; it must have no side effects.

        Raises:
            EventStoreError: The read failed, as ``translate`` classifies it.
        """
        try:
            return await ask()
        except DRIVER_ERRORS as error:
            if not is_connection_loss(error):
                raise translate(error, self.schema) from error
        await self.renew()
        try:
            return await ask()
        except DRIVER_ERRORS as error:
            raise translate(error, self.schema) from error

    async def _fetch(self, sql: str, parameters: Sequence[object], seconds: float) -> Sequence[Row]:
        connection = await self.acquire(seconds)
        try:
            return await connection.fetch(sql, *parameters, timeout=seconds)
        except TimeoutError as error:
            raise await self.judge(self.server_of(connection), error) from error
        finally:
            await self.release(connection)

    async def confirm(self, *, seconds: float) -> None:
        """Wait until everything committed so far is as durable as an append, also on the synchronous standby.

        Args:
            seconds: The timeout in seconds.

        Raises:
            StoreUnavailable: No synchronous standby confirmed in time.
            EventStoreError: The statement failed in another way, as ``translate`` classifies it.
        """
        connection = await self.acquire(seconds)
        try:
            with confirmed(connection):
                await connection.fetch(self.schema.render(statement("confirm")), timeout=seconds)
        except (TimeoutError, OutcomeUnknown) as error:
            raise StoreUnavailable("the recorded events are not confirmed by a synchronous standby") from error
        except DRIVER_ERRORS as error:
            raise translate(error, self.schema) from error
        finally:
            await self.release(connection)

    async def judge(self, server: ServerAddress | None, error: TimeoutError) -> EventStoreError:
        """Classify the timeout of a reading statement: the server may be down, or only this statement slow.

        Args:
            server: The server that the statement was sent to. If it does not answer, all pooled connections are
                retired, so that new ones choose a server of the address again.
            error: The timeout that the statement failed with.

        Returns:
            ``TransientStoreError`` if the server answers, otherwise ``StoreUnavailable``, or another error of
            connecting.
        """
        try:
            connection = await self.again(server)
            with suppress(*DRIVER_ERRORS):
                await connection.close(timeout=_RELEASE_SECONDS)
        except EventStoreError as silent:
            await self.renew()
            return silent if isinstance(silent, StoreUnavailable) else translate(error, self.schema)
        return TransientStoreError(
            f"{self.address} answers, but took too long for this request", code=type(error).__name__
        )
