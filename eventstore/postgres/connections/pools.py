"""The pools: one for the primary, and one for each replica."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from eventstore.errors import EventStoreError, StoreUnavailable
from eventstore.postgres.connections.address import Address
from eventstore.postgres.connections.dialing import Dialer, SessionAttribute, check_writable
from eventstore.postgres.connections.lending import LentConnections
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.connections.session_name import session_name
from eventstore.postgres.connections.session_settings import LENT_SETTINGS, SESSION_SETTINGS
from eventstore.postgres.connections.translation import DRIVER_ERRORS, translate
from eventstore.postgres.drivers.choice import DriverName, driver_named, handed_in
from eventstore.postgres.drivers.protocol import Driver
from eventstore.postgres.schema import Schema

__all__ = ["Pools"]

_log = logging.getLogger(__name__)

_OPEN_SECONDS = 10.0


@dataclass(slots=True, kw_only=True)
class Pools:
    """The connection pools of one store.

    Attributes:
        primary: The primary, for appends and strong reads.
        replicas: The replicas, for eventual reads.
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
        schema: Schema,
        pool_size: int,
        application_name: str,
        writable: bool = True,
    ) -> "Pools":
        """Open the pools. The primary must answer; a replica that does not is skipped until it does.

        Args:
            primary_url: The primary's database URL. It may have several hosts; the one that accepts writes is used.
            replica_urls: The database URLs of the replicas, one for each.
            driver: The name of the driver; by default asyncpg.
            schema: The schema of the store in each server's database.
            pool_size: The largest number of connections to each server.
            application_name: The ``application_name`` of the connections in ``pg_stat_activity``.
            writable: Whether the primary must accept writes; by default True.

        Raises:
            StoreUnavailable: The primary cannot be reached.
            StoreMisconfigured: The primary refuses the address or credentials, or an address is malformed.
        """
        pools: list[Pool] = []
        made_by = driver_named(driver)
        for url in (primary_url, *replica_urls):
            address = Address.of(url)
            if address.left_out:
                _log.warning("a part of a database address is ignored: %s", ", ".join(address.left_out))
            wanted = SessionAttribute.any if pools or not writable else SessionAttribute.read_write
            pool = _pool(address, made_by, wanted, pool_size, application_name, first=0 if pools else 1)
            pool.schema = schema
            pools.append(pool)
        try:
            for pool in pools:
                await pool.connections
        except (*DRIVER_ERRORS, ValueError) as error:
            raise translate(error) from error
        primary, *replicas = pools
        return cls(primary=primary, replicas=tuple(replicas))

    @classmethod
    async def over(
        cls,
        primary: object,
        replicas: Sequence[object],
        *,
        schema: Schema,
        application_name: str,
        writable: bool = True,
    ) -> tuple["Pools", str]:
        """Use the program's own pools or engines. The primary must answer; a replica that does not is skipped.

        Args:
            primary: The pool or engine for the primary, of a type that ``handed_in`` takes.
            replicas: The pools or engines for the replicas, one for each.
            schema: The schema of the store in each server's database.
            application_name: The ``application_name`` of the connections in ``pg_stat_activity`` while they are lent.
            writable: Whether the primary must accept writes; by default True.

        Returns:
            The pools, and the name of the primary's database.

        Raises:
            StoreUnavailable: The primary cannot be reached, or accepts no writes.
            StoreMisconfigured: The primary refuses the credentials, or an argument is no pool or engine.
        """
        settings = {**LENT_SETTINGS, "application_name": session_name(application_name)}
        lent = [LentConnections(handed_in(each), settings) for each in (primary, *replicas)]
        pools = [Pool(each, "the pool that was handed in", each, lends=True, schema=schema) for each in lent]
        try:
            await lent[0]
        except (*DRIVER_ERRORS, ValueError) as error:
            raise translate(error) from error
        try:
            connection = await pools[0].acquire(_OPEN_SECONDS)
        except StoreUnavailable:
            # A pool may hide why it has none. A connection beside it shows the reason, unless all others are in use.
            (await lent[0].again(None)).terminate()
            raise
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
        """Retire the connections to a primary that became read-only: new ones look for one that accepts writes."""
        await self.primary.renew()

    def cut(self) -> None:
        """Terminate every connection. Nothing is cancelled: a server may still finish statements that it received."""
        for pool in (self.primary, *self.replicas):
            pool.connections.terminate()

    async def close(self, seconds: float = 2.0) -> None:
        """Close every connection; after ``seconds``, those still busy and those of silent servers are terminated."""

        async def close(pool: Pool) -> None:
            try:
                async with asyncio.timeout(seconds):
                    await pool.connections.close()
            except (*DRIVER_ERRORS, StoreUnavailable):
                pool.connections.terminate()

        await asyncio.gather(*(close(pool) for pool in (self.primary, *self.replicas)))


async def _place(pool: Pool, name: str) -> None:
    """Look up the address of a replica that was handed in; one that does not answer keeps a placeholder name."""
    pool.address = name
    with suppress(EventStoreError, *DRIVER_ERRORS):
        connection = await pool.acquire(_OPEN_SECONDS / 2)
        pool.server = pool.server_of(connection)
        await pool.release(connection)
        pool.address = str(pool.server or name)


def _pool(
    address: Address, driver: Driver, wanted: SessionAttribute, size: int, application_name: str, *, first: int
) -> Pool:
    dialer = Dialer(
        address, driver=driver, purpose=application_name, wanted=wanted, settings=SESSION_SETTINGS, lifted=True
    )
    connections = driver.pool(dialer.dial, first=first, size=size)
    servers = address.servers
    named = ",".join(map(str, servers)) or "the address"
    return Pool(connections, named, dialer, servers[0] if len(servers) == 1 else None)
