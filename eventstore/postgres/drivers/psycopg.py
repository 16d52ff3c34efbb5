"""psycopg 3: adapts its connections to the store's protocol. Installed by the extra ``psycopg``."""

import asyncio
import os
import select
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg import pq, waiting
from psycopg.abc import PQGen
from psycopg.types.string import StrDumperUnknown

from eventstore.postgres.drivers.asyncpg import AsyncpgDriver
from eventstore.postgres.drivers.dialled_pool import DialledPool
from eventstore.postgres.drivers.keepalive import LIBPQ
from eventstore.postgres.drivers.protocol import Connection, Dial, Dialling, Driver, DriverError, Failure, Listener
from eventstore.postgres.drivers.psycopg_values import LOADERS, RowMaker, in_text
from eventstore.stream import ServerAddress

__all__ = ["PsycopgConnection", "PsycopgDriver"]

_CANCEL_SECONDS = 1.0

T = TypeVar("T")


class PsycopgDriver(Driver):
    """See ``Driver``."""

    async def dial(self, dialling: Dialling) -> "PsycopgConnection":
        """See ``Driver.dial``."""
        server, settings = dialling.server, dict(dialling.settings)
        connection = await _connected(dialling, settings.pop("application_name", None))
        connection.prepared_max = dialling.cached
        made = PsycopgConnection(connection, server)
        made.statement_seconds = dialling.statement_seconds
        if settings:
            # Not as startup parameters: psycopg sends all of them in a single one, which poolers refuse.
            names, values = list(settings), list(settings.values())
            try:
                await made.fetch(
                    "SELECT set_config(s.name, s.value, false) FROM unnest($1::text[], $2::text[]) AS s (name, value)",
                    names,
                    values,
                )
            except BaseException:
                made.terminate()
                raise
        return made

    def pool(self, dial: Dial, *, first: int, size: int) -> DialledPool:
        """See ``Driver.pool``.

        Not the library's own pool: it hides why it cannot connect, lets callers wait, and backs off for up to minutes.
        """
        return DialledPool(dial, first=first, size=size)


async def _connected(dialling: Dialling, name: str | None) -> "_OwnConnection":
    """Connect.

    libpq gives the reason of a failure only as text; asyncpg gives an SQLSTATE, so its attempt raises the classified
    error. It sends no settings: a pooler would refuse those instead of naming the actual fault. If it succeeds twice
    where libpq fails, that is due to what libpq alone reads or minds, such as PGOPTIONS, or a key that others may read.
    """
    server = dialling.server
    place: dict[str, Any] = {} if server is None else {"host": server.host, "port": server.port}
    told = ""
    for _ in range(2):
        try:
            return await _OwnConnection.connect(
                dialling.url,
                autocommit=True,
                prepare_threshold=0 if dialling.cached else None,
                application_name=name,
                connect_timeout=max(2, round(dialling.seconds)),
                target_session_attrs="any",
                client_encoding="utf8",
                **LIBPQ,
                **place,
            )
        except psycopg.OperationalError as error:
            told = _words(error)
            await (await AsyncpgDriver().dial(replace(dialling, settings={}))).close(timeout=_CANCEL_SECONDS)
        except psycopg.Error as error:
            raise DriverError(_words(error), failure=Failure.ADDRESS) from error
    raise DriverError(told, failure=Failure.ADDRESS)


class _OwnConnection(psycopg.AsyncConnection[Any]):
    """A connection that does not block a cancelled caller while a silent server is asked to cancel the statement.

    Attributes:
        ending: The task that asks the server to cancel the abandoned statement.
    """

    ending: "asyncio.Task[None] | None" = None

    async def wait(self, gen: "PQGen[T]", interval: float = 0.1, timeout: float | None = None) -> T:  # noqa: ASYNC109  the library's own form
        """Wait for a statement. If the call is cancelled, the connection is closed."""
        try:
            return await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)
        except asyncio.CancelledError:
            if self.ending is None:
                self.ending = asyncio.create_task(self._end())
            raise

    async def _end(self) -> None:
        try:
            with suppress(psycopg.Error, OSError):
                await self.cancel_safe(timeout=_CANCEL_SECONDS)
        finally:
            self.pgconn.finish()


class PsycopgConnection(Connection):
    """A ``Connection``.

    Args:
        connection: The psycopg connection, in autocommit mode.
        server: The server that it leads to; None if it is unknown.

    Attributes:
        server: The server that the connection leads to; None if it is unknown.
        statement_seconds: The timeout in seconds of statements without a timeout of their own; None for no timeout.
    """

    __slots__ = (
        "_busy",
        "_connection",
        "_cursor",
        "_ended_by",
        "_listeners",
        "_poll",
        "_rows",
        "server",
        "statement_seconds",
    )

    def __init__(self, connection: "psycopg.AsyncConnection[Any]", server: ServerAddress | None) -> None:
        self.server = server
        self.statement_seconds: float | None = None
        self._connection = connection
        self._busy = False
        self._rows = RowMaker()
        self._cursor = psycopg.AsyncRawCursor(connection, row_factory=self._rows)
        self._cursor.adapters.register_dumper(str, StrDumperUnknown)
        for name, loader in LOADERS.items():
            self._cursor.adapters.register_loader(name, loader)
        self._listeners: dict[Listener, None] = {}
        self._ended_by: str | None = None
        self._poll = select.poll()
        self._poll.register(connection.pgconn.socket, select.POLLIN)
        connection.add_notice_handler(self._notice)

    @property
    def native(self) -> "psycopg.AsyncConnection[Any]":
        """The psycopg connection."""
        return self._connection

    async def fetch(self, query: str, /, *args: Any, timeout: float | None = None) -> Sequence[Any]:  # noqa: ASYNC109  the driver's own form
        """See ``Connection.fetch``."""
        seconds = self.statement_seconds if timeout is None else timeout
        if seconds is None:
            return await self._fetch(query, args)
        async with asyncio.timeout(seconds):
            return await self._fetch(query, args)

    async def execute(self, query: str, /) -> None:
        """See ``Connection.execute``."""
        self._rows.query = None
        await self._run(query.encode(), None, binary=False)

    async def prepare(self, query: str, /) -> None:
        """See ``Connection.prepare``."""
        await self.execute(f"PREPARE warm AS {query}; DEALLOCATE warm")

    async def _fetch(self, query: str, args: Sequence[Any]) -> Sequence[Any]:
        self._rows.query = query
        # For unprepared statements, only the extended protocol is limited to a single statement.
        await self._run(_encoded(query), [in_text(value) for value in args], binary=True)
        if not (result := self._cursor.pgresult) or result.status != pq.ExecStatus.TUPLES_OK:
            return []
        try:
            return await self._cursor.fetchall()
        except psycopg.Error as error:
            raise _error(error) from error

    async def _run(self, query: bytes, values: Sequence[Any] | None, *, binary: bool) -> None:
        self._busy = True
        try:
            await self._cursor.execute(query, values, binary=binary, prepare=binary)
        except psycopg.Error as error:
            raise _error(error, self._ended_by) from error
        finally:
            self._busy = False

    def is_closed(self) -> bool:
        """See ``Connection.is_closed``. An idle connection is read from, since the library notices nothing."""
        pgconn = self._connection.pgconn
        if pgconn.status != pq.ConnStatus.OK:
            return True
        if not self._busy and pgconn.transaction_status == pq.TransactionStatus.IDLE:
            try:
                while self._poll.poll(0):
                    pgconn.consume_input()
                    pgconn.is_busy()
            except psycopg.OperationalError:
                return True
        return pgconn.status != pq.ConnStatus.OK

    def is_in_transaction(self) -> bool:
        """See ``Connection.is_in_transaction``."""
        return self._connection.pgconn.transaction_status in _IN_TRANSACTION

    def get_server_pid(self) -> int:
        """See ``Connection.get_server_pid``."""
        return self._connection.pgconn.backend_pid

    def get_server_version(self) -> "_Version":
        """See ``Connection.get_server_version``."""
        return _Version(self._connection.pgconn.server_version // 10_000)

    def terminate(self) -> None:
        """See ``Connection.terminate``."""
        pgconn = self._connection.pgconn
        if pgconn.status != pq.ConnStatus.OK:
            return
        # The socket first: a task that waits for it would not notice that it is closed.
        with suppress(OSError), socket.socket(fileno=os.dup(pgconn.socket)) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)
        if not self._busy:
            pgconn.finish()

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109, ARG002  the driver's own form; nothing in it waits
        """See ``Connection.close``."""
        await self.settled()
        self._connection.pgconn.finish()

    async def settled(self) -> None:
        """Wait until the server has been asked to cancel an abandoned statement."""
        if (ending := getattr(self._connection, "ending", None)) is not None:
            await asyncio.wait([ending])

    def leave(self) -> None:
        """Detach from the psycopg connection, which its pool takes back."""
        self._connection.remove_notice_handler(self._notice)

    def add_log_listener(self, callback: Listener, /) -> None:
        """See ``Connection.add_log_listener``."""
        self._listeners[callback] = None

    def remove_log_listener(self, callback: Listener, /) -> None:
        """See ``Connection.remove_log_listener``."""
        self._listeners.pop(callback, None)

    def _notice(self, message: "psycopg.errors.Diagnostic") -> None:
        if message.severity_nonlocalized == "FATAL":
            # The server's last message to an idle session: the next statement only finds the connection closed.
            self._ended_by = message.sqlstate
            return
        for listener in tuple(self._listeners):
            listener(self, _Warning(message))


class _Version(NamedTuple):
    """A ``ServerVersion``."""

    major: int


class _Warning:
    """A ``Message``."""

    def __init__(self, message: "psycopg.errors.Diagnostic") -> None:
        self.sqlstate = message.sqlstate
        self._words = message.message_primary

    def __str__(self) -> str:
        return self._words or ""


_IN_TRANSACTION = {pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR, pq.TransactionStatus.ACTIVE}


def _error(error: psycopg.Error, ended_by: str | None = None) -> DriverError:
    sqlstate = error.sqlstate
    if sqlstate is not None:
        return DriverError(
            _words(error),
            failure=Failure.ANSWER,
            sqlstate=sqlstate,
            constraint_name=error.diag.constraint_name,
        )
    match error:
        case psycopg.DataError():
            failure = Failure.VALUE
        case psycopg.OperationalError() | psycopg.InterfaceError():
            failure = Failure.LOSS
        case _:
            failure = Failure.UNKNOWN
    return DriverError(_words(error), failure=failure, ended_by=ended_by)


def _words(error: psycopg.Error) -> str:
    return error.diag.message_primary or " ".join(str(error).split())


# Cached: there are few statements, and the same ones are sent again and again.
@lru_cache(256)
def _encoded(query: str) -> bytes:
    return query.encode()
