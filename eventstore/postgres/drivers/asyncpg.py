"""asyncpg: the driver that is always there. Its connections and pools are used as they are."""

from typing import TYPE_CHECKING, TypeAlias, cast

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from eventstore.postgres.drivers.protocol import ConnectionPool, Dial, Dialling, Driver, Failure
from eventstore.stream import ServerAddress

if TYPE_CHECKING:
    _Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection

__all__ = ["ERRORS", "AsyncpgConnection", "AsyncpgDriver", "failure_of", "place_of"]

ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What it raises, besides errors of sockets."""

_READ_ONLY = "25006"


class AsyncpgConnection(_Connection):
    """A connection that knows which server it was made to.

    Attributes:
        server: Where that is reached; None where only the driver knows.
    """

    __slots__ = ("server",)
    server: ServerAddress | None


class AsyncpgDriver(Driver):
    """See ``Driver``."""

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
            connection_class=AsyncpgConnection,
        )
        connection.server = server
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
    """Say what one of ``ERRORS`` means, and with which code."""
    match error:
        case asyncpg.PostgresError():
            return Failure.ANSWER, str(error.sqlstate)
        case asyncpg.TargetServerAttributeNotMatched():
            return Failure.ANSWER, _READ_ONLY
        case asyncpg.ClientConfigurationError():
            return Failure.ADDRESS, None
        case asyncpg.InterfaceError() if isinstance(error, ValueError):
            return Failure.VALUE, None
    # "cannot switch to state", of a connection whose end is only half read, is one of these.
    return Failure.LOSS, None


def place_of(connection: object) -> ServerAddress | None:
    """Return where a connection leads that another program has made."""
    match getattr(connection, "_addr", None):
        case (str(host), int(port), *_):
            return ServerAddress(host=host, port=port)
        case str(path):
            return ServerAddress(host=path)
    return None


async def _keep_session(_connection: object) -> None:
    # The default reset costs a round trip at every release. No statement here leaves anything in the session.
    return
