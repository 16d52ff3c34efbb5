"""The pool: the connections to one server, and the statements that any of them may run."""

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

__all__ = ["Keeper", "Pool"]

_RELEASE_SECONDS = 1.0


class Keeper(Protocol):
    """Who keeps a connection while it rests."""

    @property
    def rests(self) -> bool:
        """Whether it keeps a connection on which no statement is under way."""

    async def make_room(self) -> None:
        """Give the connection back if no statement is under way on it."""


@dataclass(slots=True, eq=False)
class Pool:
    """The connections to one server.

    Attributes:
        connections: Those.
        address: The server's host and port.
        server: The same, taken apart; None if the address names several.
        dialer: Makes connections of a caller's own.
        lends: Whether they are another program's, which waits for them too.
        schema: Where the store is in its database: what is run here is read for it.
        head: How far its log was when it was last asked.
        epoch: Grows when connections that were made before must not be used any more.
        wanted: How many wait for a connection.
        warm: The processes in the server that have held the lock before. One whose number comes again is slower once.
        keepers: Who keeps connections while they rest, and gives them back when asked to.
    """

    connections: ConnectionPool
    address: str
    dialer: Dialer | LentConnections
    server: ServerAddress | None = None
    head: Position = START
    epoch: int = 0
    wanted: int = 0
    warm: set[int] = field(default_factory=set)
    keepers: list[Keeper] = field(default_factory=list)
    lends: bool = False
    schema: Schema = field(default_factory=Schema)

    @property
    def idle(self) -> int:
        """How many connections are open and do nothing."""
        return self.connections.get_idle_size() + sum(keeper.rests for keeper in self.keepers)

    async def acquire(self, seconds: float | None = None) -> Connection:
        """Take a connection.

        Args:
            seconds: How long to wait for one; None for as long as it takes.

        Raises:
            EventStoreError: As ``translate`` says.
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
        """Give a connection back. One whose server does not even answer that it has given up is closed."""
        with suppress(*DRIVER_ERRORS):
            await self.connections.release(connection, timeout=_RELEASE_SECONDS)

    def server_of(self, connection: Connection) -> ServerAddress | None:
        """Return which server a connection leads to; None if only the driver knows."""
        return self.dialer.place_of(connection) if isinstance(self.dialer, LentConnections) else server_of(connection)

    async def again(self, server: ServerAddress | None) -> Connection:
        """Make a connection of the caller's own, for a question that cannot wait for one of the others.

        Args:
            server: To which server, as ``server_of`` says of a connection: another could not answer.

        Raises:
            StoreUnavailable: That server cannot be reached; what others there are in the address do not matter.
            EventStoreError: As ``translate`` says.
        """
        return await self.dialer.again(server)

    async def renew(self) -> None:
        """Leave the present connections, each once it is free; new ones find out anew who answers the address."""
        self.epoch += 1
        await self.connections.expire_connections()

    async def fetch(self, sql: str, parameters: Sequence[object] = (), *, seconds: float) -> Sequence[Row]:
        """Run one reading statement; once more on a new connection if the one it was sent on breaks.

        Args:
            sql: The statement.
            parameters: Its parameters.
            seconds: How long it may take, and how long it may wait for a connection.

        Raises:
            EventStoreError: As ``translate`` says.
        """
        text = self.schema.render(sql)
        return await self.once_more(lambda: self._fetch(text, parameters, seconds))

    async def once_more(self, ask: Callable[[], Awaitable[Sequence[Row]]]) -> Sequence[Row]:
        """Ask what changes nothing; once more on a new connection if the one that it was asked on breaks.

        A server that restarts, or an administrator, ends connections that rest here, and nobody is told before the next
        statement.

        Args:
            ask: Asks, on a connection of this pool.

        Raises:
            EventStoreError: As ``translate`` says.
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
        """Wait until what was committed so far is as durable as an append: until its synchronous standby has it.

        Args:
            seconds: How long to wait.

        Raises:
            StoreUnavailable: No standby has confirmed it in time.
            EventStoreError: As ``translate`` says.
        """
        connection = await self.acquire(seconds)
        try:
            with confirmed(connection):
                await connection.fetch(self.schema.render(statement("confirm")), timeout=seconds)
        except (TimeoutError, OutcomeUnknown) as error:
            raise StoreUnavailable("what is on record is not confirmed by a synchronous standby") from error
        except DRIVER_ERRORS as error:
            raise translate(error, self.schema) from error
        finally:
            await self.release(connection)

    async def judge(self, server: ServerAddress | None, error: TimeoutError) -> EventStoreError:
        """Say what it means that a reading statement took longer than it may: of a server that answers others, little.

        Args:
            server: Where it was sent. If that does not answer, all connections are left: the next ones find out anew
                who answers the address.
            error: What the statement failed with.

        Returns:
            ``TransientStoreError`` when the server answers, else ``StoreUnavailable``.
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
