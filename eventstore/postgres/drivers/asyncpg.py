"""asyncpg: the default driver. Its connections and pools are used unchanged."""

from typing import TYPE_CHECKING, Any, TypeAlias, cast

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from eventstore.postgres.drivers.keepalive import keep_alive
from eventstore.postgres.drivers.protocol import ConnectionPool, Dial, Dialling, Driver, Failure
from eventstore.postgres.schema import Schema
from eventstore.stream import ServerAddress

if TYPE_CHECKING:
    _Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection

__all__ = ["ERRORS", "AsyncpgConnection", "AsyncpgDriver", "SchemaConnection", "failure_of", "place_of"]

ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The errors that asyncpg raises, besides socket errors."""

_READ_ONLY = "25006"


class AsyncpgConnection(_Connection):
    """A connection that records which server it was made to.

    Attributes:
        server: The server's address; None if only the driver knows it.
    """

    __slots__ = ("server",)
    server: ServerAddress | None


class SchemaConnection(AsyncpgConnection):
    """A connection that rewrites every statement for the schema of a store.

    Attributes:
        schema: The schema of the store.
    """

    __slots__ = ("schema",)
    schema: Schema

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:  # noqa: ASYNC109  the driver's own form
        """See ``asyncpg.Connection``."""
        return await super().execute(self.schema.render(query), *args, timeout=timeout)

    async def execute_as_it_is(self, sql: str) -> None:
        """Run SQL that has this schema's names already: rewriting it again could change other names.

        Args:
            sql: The SQL text, as the server takes it.
        """
        await super().execute(sql)

    async def executemany(self, command: str, args: Any, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  the driver's own form
        """See ``asyncpg.Connection``."""
        await super().executemany(self.schema.render(command), args, timeout=timeout)

    async def fetch(self, query: str, *args: object, **options: Any) -> Any:
        """See ``asyncpg.Connection``."""
        return await super().fetch(self.schema.render(query), *args, **options)

    async def fetchrow(self, query: str, *args: object, **options: Any) -> Any:
        """See ``asyncpg.Connection``."""
        return await super().fetchrow(self.schema.render(query), *args, **options)

    async def fetchval(self, query: str, *args: object, **options: Any) -> Any:
        """See ``asyncpg.Connection``."""
        return await super().fetchval(self.schema.render(query), *args, **options)

    async def prepare(self, query: str, **options: Any) -> Any:
        """See ``asyncpg.Connection``."""
        return await super().prepare(self.schema.render(query), **options)

    def cursor(self, query: str, *args: object, **options: Any) -> Any:
        """See ``asyncpg.Connection``."""
        return super().cursor(self.schema.render(query), *args, **options)

    async def copy_from_query(self, query: str, *args: object, **options: Any) -> str:
        """See ``asyncpg.Connection``."""
        return await super().copy_from_query(self.schema.render(query), *args, **options)


class AsyncpgDriver(Driver):
    """See ``Driver``.

    Args:
        schema: The schema that its connections rewrite statements for; None, the default, if the caller rewrites them.
    """

    def __init__(self, schema: Schema | None = None) -> None:
        self._schema = schema

    async def dial(self, dialling: Dialling) -> AsyncpgConnection:
        """See ``Driver.dial``."""
        server = dialling.server
        connection = await asyncpg.connect(
            dialling.url,
            host=None if server is None else server.host,
            port=None if server is None else server.port,
            timeout=dialling.seconds,
            command_timeout=dialling.statement_seconds,
            target_session_attrs=SessionAttribute.any,
            server_settings=dict(dialling.settings),
            statement_cache_size=dialling.cached,
            connection_class=AsyncpgConnection if self._schema is None else SchemaConnection,
        )
        keep_alive(cast("Any", connection)._transport)  # noqa: SLF001  the driver shows its socket nowhere else
        connection.server = server
        if isinstance(connection, SchemaConnection) and self._schema is not None:
            connection.schema = self._schema
        return connection

    def pool(self, dial: Dial, *, first: int, size: int) -> ConnectionPool:
        """See ``Driver.pool``."""

        async def connect(*_arguments: object, **_options: object) -> AsyncpgConnection:
            return cast("AsyncpgConnection", await dial())

        return cast(
            "ConnectionPool",
            asyncpg.create_pool(
                min_size=first, max_size=size, reset=_keep_session, connect=connect, connection_class=AsyncpgConnection
            ),
        )


def failure_of(error: BaseException) -> tuple[Failure, str | None]:
    """Classify one of ``ERRORS``, and return its SQLSTATE if it has one."""
    match error:
        case asyncpg.PostgresError():
            return Failure.ANSWER, str(error.sqlstate)
        case asyncpg.TargetServerAttributeNotMatched():
            return Failure.ANSWER, _READ_ONLY
        case asyncpg.ClientConfigurationError():
            return Failure.ADDRESS, None
        case asyncpg.InterfaceError() if isinstance(error, ValueError):
            return Failure.VALUE, None
    # Includes "cannot switch to state", raised for a connection whose closing was only read in part.
    return Failure.LOSS, None


def place_of(connection: object) -> ServerAddress | None:
    """Return the server that a connection of another program leads to; None if it is unknown."""
    match getattr(connection, "_addr", None):
        case (str(host), int(port), *_):
            return ServerAddress(host=host, port=port)
        case str(path):
            return ServerAddress(host=path)
    return None


async def _keep_session(_connection: object) -> None:
    # The default reset costs a round trip at every release. No statement here changes the session.
    return
