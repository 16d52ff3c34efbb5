"""Connections: one pool to the primary, one to each replica."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from eventstore.errors import EventStoreError, OutcomeUnknown, StoreUnavailable, TransientStoreError
from eventstore.position import START, Position
from eventstore.postgres.connections.address import Address
from eventstore.postgres.connections.confirmation import confirmed
from eventstore.postgres.connections.dialing import Dialer, SessionAttribute, check_writable, server_of
from eventstore.postgres.connections.lending import LentConnections
from eventstore.postgres.connections.session_name import session_name
from eventstore.postgres.connections.translation import DRIVER_ERRORS, is_connection_loss, translate
from eventstore.postgres.drivers.choice import DriverName, driver_named, handed_in
from eventstore.postgres.drivers.protocol import Connection, ConnectionPool, Driver, Row
from eventstore.postgres.statements import statement
from eventstore.stream import ServerAddress

__all__ = ["Keeper", "Pool", "Pools"]

_log = logging.getLogger(__name__)

_RELEASE_SECONDS = 1.0
_OPEN_SECONDS = 10.0


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
            raise translate(error) from error
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
        return await self.once_more(lambda: self._fetch(sql, parameters, seconds))

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
                raise translate(error) from error
        await self.renew()
        try:
            return await ask()
        except DRIVER_ERRORS as error:
            raise translate(error) from error

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
                await connection.fetch(statement("confirm"), timeout=seconds)
        except (TimeoutError, OutcomeUnknown) as error:
            raise StoreUnavailable("what is on record is not confirmed by a synchronous standby") from error
        except DRIVER_ERRORS as error:
            raise translate(error) from error
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
            return silent if isinstance(silent, StoreUnavailable) else translate(error)
        return TransientStoreError(
            f"{self.address} answers, but took too long for this request", code=type(error).__name__
        )


@dataclass(slots=True, kw_only=True)
class Pools:
    """The servers of one store.

    Attributes:
        primary: Appends and strong reads.
        replicas: Eventual reads.
    """

    primary: Pool
    replicas: tuple[Pool, ...]

    @classmethod
    async def open(
        cls,
        primary_url: str,
        replica_urls: Sequence[str],
        *,
        driver: DriverName = "asyncpg",
        pool_size: int,
        application_name: str,
        writable: bool = True,
    ) -> "Pools":
        """Make the pools. The primary must answer; a replica that does not is passed over until it does.

        Args:
            primary_url: May name several hosts; the one that accepts writes is used.
            replica_urls: One address a replica.
            driver: Makes the connections.
            pool_size: The most connections to each server.
            application_name: How the connections appear in ``pg_stat_activity``.
            writable: Whether the primary must accept writes.

        Raises:
            StoreUnavailable: The primary cannot be reached.
            StoreMisconfigured: It refuses the address or credentials, or an address is malformed.
        """
        pools: list[Pool] = []
        made_by = driver_named(driver)
        for url in (primary_url, *replica_urls):
            address = Address.of(url)
            if address.left_out:
                _log.warning("of a database address, this is left out: %s", ", ".join(address.left_out))
            wanted = SessionAttribute.any if pools or not writable else SessionAttribute.read_write
            pools.append(_pool(address, made_by, wanted, pool_size, application_name, first=0 if pools else 1))
        try:
            for pool in pools:
                await pool.connections
        except (*DRIVER_ERRORS, ValueError) as error:
            raise translate(error) from error
        primary, *replicas = pools
        return cls(primary=primary, replicas=tuple(replicas))

    @classmethod
    async def over(
        cls, primary: object, replicas: Sequence[object], *, application_name: str, writable: bool = True
    ) -> tuple["Pools", str]:
        """Use pools or engines that a program has. The primary must answer; a replica that does not is passed over.

        Args:
            primary: One of those that ``handed_in`` knows.
            replicas: One a replica.
            application_name: How the connections appear in ``pg_stat_activity`` while they are lent.
            writable: Whether the primary must accept writes.

        Returns:
            The pools, and the name of the primary's database.

        Raises:
            StoreUnavailable: The primary cannot be reached, or accepts no writes.
            StoreMisconfigured: It refuses the credentials, or one of them is no pool or engine.
        """
        settings = {**_LENT_SETTINGS, "application_name": session_name(application_name)}
        lent = [LentConnections(handed_in(each), settings) for each in (primary, *replicas)]
        pools = [Pool(each, "the pool that was handed in", each, lends=True) for each in lent]
        try:
            await lent[0]
        except (*DRIVER_ERRORS, ValueError) as error:
            raise translate(error) from error
        connection = await pools[0].acquire(_OPEN_SECONDS)
        try:
            server = pools[0].server_of(connection)
            if writable:
                await check_writable(connection, server)
            (row,) = await connection.fetch("SELECT current_database() AS name")
        except DRIVER_ERRORS as error:
            raise translate(error) from error
        finally:
            await pools[0].release(connection)
        if server is not None:
            pools[0].server, pools[0].address = server, str(server)
        for number, pool in enumerate(pools[1:], start=1):
            await _place(pool, f"replica {number}")
        return cls(primary=pools[0], replicas=tuple(pools[1:])), row["name"]

    async def forget_primary(self) -> None:
        """Leave a primary that has become read-only: the next connections look for the one that accepts writes."""
        await self.primary.renew()

    def cut(self) -> None:
        """Break every connection. Nothing is cancelled: what a server was told to do, it may still do."""
        for pool in (self.primary, *self.replicas):
            pool.connections.terminate()

    async def close(self, seconds: float = 2.0) -> None:
        """Close every connection; those still busy after ``seconds``, or whose server says nothing, are cut."""

        async def close(pool: Pool) -> None:
            try:
                async with asyncio.timeout(seconds):
                    await pool.connections.close()
            except (*DRIVER_ERRORS, StoreUnavailable):
                pool.connections.terminate()

        await asyncio.gather(*(close(pool) for pool in (self.primary, *self.replicas)))


# What each session sets.
_SETTINGS = {
    # Every statement is written so that one plan fits all values: planning anew would cost several times what
    # running does, and a plan that is chosen by values turns bad at the sixth call.
    "plan_cache_mode": "force_generic_plan",
    # A plan made while the tables were small must not scan them when they are large.
    "enable_seqscan": "off",
    # A statement names first what it has least of: the planner cannot know, and would guess.
    "join_collapse_limit": "1",
    "from_collapse_limit": "1",
    "jit": "off",
    "default_transaction_isolation": "read committed",
    # Not synchronous_commit: a database that asks for more than "on" must get it, and one that asks for less is
    # refused.
    # An append whose wait is cut short by a timeout may have happened; nothing here may cut it short.
    "statement_timeout": "0",
    "lock_timeout": "0",
}


# What else one that is lent sets: what ``lift.sql`` does for the others.
_LENT_SETTINGS = {
    **_SETTINGS,
    **dict.fromkeys(("transaction_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"), "0"),
}


async def _place(pool: Pool, name: str) -> None:
    """Find out where a replica is that was handed in; one that does not answer keeps a name."""
    pool.address = name
    with suppress(EventStoreError, *DRIVER_ERRORS):
        await pool.connections
        connection = await pool.acquire(_OPEN_SECONDS / 2)
        pool.server = pool.server_of(connection)
        await pool.release(connection)
        pool.address = str(pool.server or name)


def _pool(
    address: Address, driver: Driver, wanted: SessionAttribute, size: int, application_name: str, *, first: int
) -> Pool:
    dialer = Dialer(address, driver=driver, purpose=application_name, wanted=wanted, settings=_SETTINGS, lifted=True)
    connections = driver.pool(dialer.dial, first=first, size=size)
    servers = address.servers
    named = ",".join(map(str, servers)) or "the address"
    return Pool(connections, named, dialer, servers[0] if len(servers) == 1 else None)
