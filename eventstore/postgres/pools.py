"""Connections: one pool to the primary, one to each replica."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from eventstore.errors import EventStoreError, StoreUnavailable, TransientStoreError
from eventstore.position import START, Position
from eventstore.postgres.address import check_address
from eventstore.postgres.session_name import session_name
from eventstore.postgres.translation import DRIVER_ERRORS, is_connection_loss, translate
from eventstore.stream import ServerAddress

__all__ = ["Connection", "Keeper", "Pool", "Pools"]

_CONNECT_SECONDS = 5.0
_RELEASE_SECONDS = 1.0

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


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
        dial: Makes a connection of the caller's own, for a question that cannot wait for one of the others.
        head: How far its log was when it was last asked.
        epoch: Grows when connections that were made before must not be used any more.
        wanted: How many wait for a connection.
        warm: The processes in the server that have held the lock before. One whose number comes again is slower once.
        keepers: Who keeps connections while they rest, and gives them back when asked to.
    """

    connections: "asyncpg.Pool[asyncpg.Record]"
    address: str
    dial: Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]]
    server: ServerAddress | None = None
    head: Position = START
    epoch: int = 0
    wanted: int = 0
    warm: set[int] = field(default_factory=set)
    keepers: list[Keeper] = field(default_factory=list)

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
                return await self.connections.acquire()
        except DRIVER_ERRORS as error:
            raise translate(error) from error
        finally:
            self.wanted -= 1

    async def release(self, connection: Connection) -> None:
        """Give a connection back. One whose server does not even answer that it has given up is closed."""
        with suppress(*DRIVER_ERRORS):
            await self.connections.release(connection, timeout=_RELEASE_SECONDS)

    async def renew(self) -> None:
        """Leave the present connections, each once it is free; new ones find out anew who answers the address."""
        self.epoch += 1
        await self.connections.expire_connections()

    async def fetch(self, sql: str, parameters: Sequence[object] = (), *, seconds: float) -> "list[asyncpg.Record]":
        """Run one reading statement; once more on a new connection if the one it was sent on breaks.

        Args:
            sql: The statement.
            parameters: Its parameters.
            seconds: How long it may take, and how long it may wait for a connection.

        Raises:
            EventStoreError: As ``translate`` says.
        """
        try:
            return await self._fetch(sql, parameters, seconds)
        except DRIVER_ERRORS as error:
            if not is_connection_loss(error):
                raise translate(error) from error
        await self.renew()
        try:
            return await self._fetch(sql, parameters, seconds)
        except DRIVER_ERRORS as error:
            raise translate(error) from error

    async def _fetch(self, sql: str, parameters: Sequence[object], seconds: float) -> "list[asyncpg.Record]":
        connection = await self.acquire(seconds)
        try:
            return await connection.fetch(sql, *parameters, timeout=seconds)
        except TimeoutError as error:
            raise await self.judge(error) from error
        finally:
            await self.release(connection)

    async def judge(self, error: TimeoutError) -> EventStoreError:
        """Say what it means that a reading statement took longer than it may: of a server that answers others, little.

        Args:
            error: What the statement failed with.

        Returns:
            ``TransientStoreError`` when the server answers, else ``StoreUnavailable``.
        """
        try:
            connection = await self.dial()
            with suppress(*DRIVER_ERRORS):
                await connection.close(timeout=_RELEASE_SECONDS)
        except DRIVER_ERRORS:
            return translate(error)
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
        pool_size: int,
        application_name: str,
        writable: bool = True,
    ) -> "Pools":
        """Make the pools. The primary must answer; a replica that does not is passed over until it does.

        Args:
            primary_url: May name several hosts; the one that accepts writes is used.
            replica_urls: One address a replica.
            pool_size: The most connections to each server.
            application_name: How the connections appear in ``pg_stat_activity``.
            writable: Whether the primary must accept writes.

        Raises:
            StoreUnavailable: The primary cannot be reached.
            StoreMisconfigured: It refuses the address or credentials, or an address is malformed.
        """
        for url in (primary_url, *replica_urls):
            check_address(url)
        try:
            wanted = SessionAttribute.read_write if writable else SessionAttribute.any
            primary = _pool(primary_url, wanted, pool_size, application_name, first=1)
            replicas = [_pool(url, SessionAttribute.any, pool_size, application_name, first=0) for url in replica_urls]
            for pool in (primary, *replicas):
                await pool.connections
        except (*DRIVER_ERRORS, ValueError) as error:
            raise translate(error) from error
        return cls(primary=primary, replicas=tuple(replicas))

    async def forget_primary(self) -> None:
        """Leave a primary that has become read-only: the next connections look for the one that accepts writes."""
        await self.primary.renew()

    def cut(self) -> None:
        """Break every connection. Nothing is cancelled: what a server was told to do, it may still do."""
        for pool in (self.primary, *self.replicas):
            pool.connections.terminate()

    async def close(self, seconds: float = 5.0) -> None:
        """Close every connection; those still busy after ``seconds`` are cut."""
        for pool in (self.primary, *self.replicas):
            try:
                async with asyncio.timeout(seconds):
                    await pool.connections.close()
            except (*DRIVER_ERRORS, StoreUnavailable):
                pool.connections.terminate()


def _pool(url: str, session: SessionAttribute, size: int, application_name: str, *, first: int) -> Pool:
    connections = asyncpg.create_pool(
        url,
        min_size=first,
        max_size=size,
        timeout=_CONNECT_SECONDS,
        reset=_keep_session,
        target_session_attrs=session,
        server_settings={
            "application_name": session_name(application_name),
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
        },
    )

    async def dial() -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            url,
            timeout=_CONNECT_SECONDS,
            target_session_attrs=session,
            server_settings={"application_name": session_name(application_name)},
        )

    parts = urlsplit(url)
    several = "," in parts.netloc or not parts.hostname
    server = None if several else ServerAddress(host=parts.hostname or "", port=parts.port)
    return Pool(connections, parts.netloc.rpartition("@")[2], dial, server)


async def _keep_session(_connection: object) -> None:
    # The default reset costs a round trip at every release. No statement here leaves anything in the session.
    return
