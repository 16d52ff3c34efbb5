"""Dialling: connects to one of the servers in an address; each is tried with its own timeout."""

import asyncio
from collections.abc import Mapping
from enum import StrEnum

from eventstore.errors import EventStoreError, InvalidRequest, StoreMisconfigured, StoreUnavailable
from eventstore.postgres.connections.address import Address
from eventstore.postgres.connections.session_name import session_name
from eventstore.postgres.connections.translation import DRIVER_ERRORS, READ_ONLY, translate
from eventstore.postgres.drivers.asyncpg import AsyncpgDriver
from eventstore.postgres.drivers.protocol import Connection, Dialling, Driver
from eventstore.postgres.statements import statement
from eventstore.stream import ServerAddress
from eventstore.system_error import said_of

__all__ = ["Dialer", "SessionAttribute", "check_writable", "server_of"]

_SECONDS = 5.0
# The SQLSTATEs of an unknown setting, and of an option that is not one.
_NO_SETTING = ("42704", "42601")
# The number of prepared statements that the driver caches for each connection.
_CACHED = 100


class SessionAttribute(StrEnum):
    """The property that a server must have."""

    any = "any"
    read_write = "read-write"


class Dialer:
    """Connects to one of the servers in an address.

    A silent server, such as a frozen machine or one behind a cut network, costs at most its own timeout: then the next
    one is tried. A server that did not answer, or lacks the wanted property, is tried last from then on.

    Args:
        address: The parsed database address.
        driver: The driver that connects; None for asyncpg.
        purpose: The purpose of the connections, shown in ``pg_stat_activity``.
        wanted: ``read_write`` for the server that accepts writes, found by a query; ``any``, the default, for the first
            that answers. The parameters that a server reports on connecting are not used: a pooler may replay those
            from before a promotion.
        settings: The settings that each session sends when it begins; poolers may refuse them. By default none.
        lifted: Whether to lift the time limits that the database or role sets, and to have warnings sent; by default
            False.
        cached: Whether the driver may cache prepared statements, which some poolers do not support; by default True.
        seconds: The timeout in seconds for connecting to one server, unless the address has its own.
        statement_seconds: The timeout in seconds of each statement; None for no timeout.
    """

    def __init__(
        self,
        address: Address,
        *,
        purpose: str,
        driver: Driver | None = None,
        wanted: SessionAttribute = SessionAttribute.any,
        settings: Mapping[str, str] | None = None,
        lifted: bool = False,
        cached: bool = True,
        seconds: float = _SECONDS,
        statement_seconds: float | None = None,
    ) -> None:
        self._address = address
        self._driver = driver or AsyncpgDriver()
        self._wanted = wanted
        self._seconds = address.seconds or seconds
        self._settings = {**(settings or {}), "application_name": session_name(purpose)}
        self._lifted = lifted
        self._cached = _CACHED if cached else 0
        self._statement_seconds = statement_seconds
        # In the order in which they are tried; None if only the driver knows the server.
        self._order: list[ServerAddress | None] = [*address.servers] or [None]

    async def dial(self) -> Connection:
        """Connect to the first suitable server.

        Raises:
            StoreMisconfigured: Every server refuses the address, its credentials or its database.
            StoreUnavailable: No server can be reached, or none accepts writes although that is wanted. The message
                names each.
            EventStoreError: The only server failed in another way, as ``translate`` classifies it.

        If the call is cancelled, the server that was being tried is tried last from then on.
        """
        failures: list[tuple[ServerAddress | None, EventStoreError]] = []
        for server in tuple(self._order):
            try:
                return await self._connect(server, self._wanted)
            except EventStoreError as error:
                failures.append((server, error))
                self._put_last(server)
            except BaseException:
                self._put_last(server)
                raise
        raise _together(failures)

    async def again(self, server: ServerAddress | None) -> Connection:
        """Connect to a given server, as ``server_of`` returned it, whatever role it has now."""
        try:
            return await self._connect(server, SessionAttribute.any)
        except BaseException:
            self._put_last(server)
            raise

    async def _connect(self, server: ServerAddress | None, wanted: SessionAttribute) -> Connection:
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self._seconds):
                connection = await self._driver.dial(
                    Dialling(
                        url=self._address.url,
                        server=server,
                        seconds=self._seconds,
                        statement_seconds=self._statement_seconds,
                        settings=self._settings,
                        cached=self._cached,
                    )
                )
                if wanted == SessionAttribute.read_write:
                    await check_writable(connection, server)
                if self._lifted:
                    await connection.fetch(statement("lift"))
        except BaseException as error:
            if connection is not None:
                connection.terminate()
            if isinstance(error, TimeoutError):
                raise StoreUnavailable(
                    f"PostgreSQL cannot be reached: {_named(server)} did not answer within {self._seconds:g} s",
                    code=type(error).__name__,
                ) from error
            if isinstance(error, (*DRIVER_ERRORS, ValueError)):
                # Of several, the message of all names each.
                raise _translate(error, server if len(self._order) == 1 else None) from error
            raise
        return connection

    def _put_last(self, server: ServerAddress | None) -> None:
        # A server that only the driver knows is not in the list.
        if server in self._order:
            self._order.remove(server)
            self._order.append(server)


def server_of(connection: object) -> ServerAddress | None:
    """Return the server that a connection leads to, also if a pool lent it; None if only the driver knows."""
    server = getattr(connection, "server", None)
    return server if isinstance(server, ServerAddress) else None


async def check_writable(connection: Connection, server: ServerAddress | None) -> None:
    """Check that a server accepts writes.

    Raises:
        StoreUnavailable: The server is a standby, or its transactions are read-only by default.
    """
    (row,) = await connection.fetch(statement("writable"))
    if not row["writable"]:
        raise StoreUnavailable(
            f"the server at {_named(server)} accepts no writes: it is a standby, or "
            "default_transaction_read_only is on",
            code=READ_ONLY,
        )


def _translate(error: BaseException, server: ServerAddress | None) -> EventStoreError:
    """Translate an error of dialling. A refused value then comes from the address, not from a request."""
    if isinstance(error, OSError) and error.filename is not None:
        # Of this machine's, and before the server is asked.
        return StoreMisconfigured(
            f"a connection to PostgreSQL uses the file {error.filename}, which cannot be opened ({said_of(error)}): "
            "see the address, HOME, and variables such as PGSSLCERT and SSLKEYLOGFILE",
            code=type(error).__name__,
        )
    told = translate(error, server=server)
    if isinstance(told, InvalidRequest) or (told.code or "").startswith(_NO_SETTING):
        return StoreMisconfigured(
            f"the database address is not usable: the server refuses a setting in it, or of its role ({error})",
            code=told.code,
        )
    return told


def _together(failures: list[tuple[ServerAddress | None, EventStoreError]]) -> EventStoreError:
    """Combine the failures of all servers: retryable, unless each is a mistake in the address."""
    ((_, first), *others) = failures
    if not others:
        return first
    told = "; ".join(f"{_named(server)}: {error}" for server, error in failures)
    family: type[EventStoreError] = StoreUnavailable
    if all(isinstance(error, StoreMisconfigured) for _, error in failures):
        family = StoreMisconfigured
    return family(f"none of the servers in the address can be used: {told}", code=first.code)


def _named(server: ServerAddress | None) -> str:
    return "the address" if server is None else str(server)
