"""The driver protocol: connections, pools, and the classes of their errors.

asyncpg's own classes follow it. Adapters bring other drivers into this form.
"""

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeAlias

from eventstore.stream import ServerAddress

__all__ = [
    "Connection",
    "ConnectionPool",
    "Dial",
    "Dialling",
    "Driver",
    "DriverError",
    "Failure",
    "Listener",
    "Message",
    "Row",
    "ServerVersion",
]


class Row(Protocol):
    """A row of a result: a sequence whose columns also have names."""

    def __getitem__(self, key: int | str, /) -> Any:
        """Return a column, by its index or its name."""

    def __iter__(self) -> Any:
        """Iterate over the values of the columns."""

    def __len__(self) -> int:
        """Return the number of columns."""

    def keys(self) -> Any:
        """Return the names of the columns."""


class Message(Protocol):
    """A warning or notice from the server."""

    @property
    def sqlstate(self) -> str | None:
        """The SQLSTATE of the message."""


class ServerVersion(Protocol):
    """A server's version."""

    @property
    def major(self) -> int:
        """The major version number."""


Listener: TypeAlias = Callable[[Any, Any], None]
"""Called with a connection and with each ``Message`` that arrives on it."""


class Connection(Protocol):
    """A session of a server that runs nothing but the statements that it is given.

    Its methods raise one of ``errors.DRIVER_ERRORS``, or ``TimeoutError`` if a timeout was given and has passed.
    """

    async def fetch(self, query: str, /, *args: Any, timeout: float | None = None) -> Sequence[Row]:  # noqa: ASYNC109  the driver's own form
        """Run one statement, and return its rows. If the call is cancelled, the server is asked to cancel it.

        Args:
            query: The statement, with $1, $2 … for its parameters.
            args: The values of the parameters. JSON is text, in both directions.
            timeout: The timeout in seconds; None for no timeout.
        """

    async def execute(self, query: str, /) -> Any:
        """Run one statement or more without parameters."""

    async def prepare(self, query: str, /) -> Any:
        """Have the server parse a statement, and look up the objects that it names."""

    def is_closed(self) -> bool:
        """Whether the connection is known to be closed, by either side."""

    def is_in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def get_server_pid(self) -> int:
        """Return the id of the server process."""

    def get_server_version(self) -> "ServerVersion":
        """Return the server's version."""

    def terminate(self) -> None:
        """Close the connection at once; a running statement fails."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  the driver's own form
        """Close the connection, and notify the server."""

    def add_log_listener(self, callback: Listener, /) -> None:
        """Call ``callback`` with warnings and notices, until ``remove_log_listener``."""

    def remove_log_listener(self, callback: Listener, /) -> None:
        """Stop calling ``callback``."""


class ConnectionPool(Protocol):
    """Connections to one server, each lent to one caller at a time. The pool is awaited before its first use."""

    def __await__(self) -> Generator[Any, None, Any]:
        """Open the first connections."""

    def acquire(self) -> Awaitable[Any]:
        """Lend a ``Connection``, once one is free."""

    async def release(self, connection: Any, /, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  the driver's own form
        """Take a connection back, in whatever state it is; close it if it cannot be reused."""

    async def expire_connections(self) -> None:
        """Replace each present connection once it is free."""

    def get_size(self) -> int:
        """Return the number of open connections."""

    def get_idle_size(self) -> int:
        """Return the number of open connections that are not lent."""

    def get_max_size(self) -> int:
        """Return the largest number of connections."""

    def terminate(self) -> None:
        """Close all connections at once."""

    async def close(self) -> None:
        """Close each connection once it is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialling:
    """The parameters of one connection attempt.

    Attributes:
        url: The database URL, without ignored parameters.
        server: The server of the URL to connect to; None if only the driver knows it.
        seconds: The timeout in seconds for connecting.
        statement_seconds: The timeout in seconds of each statement; None for no timeout.
        settings: The settings that the session sets when it begins.
        cached: The number of prepared statements that are cached; 0 if a pooler does not support them.
    """

    url: str
    server: ServerAddress | None
    seconds: float
    statement_seconds: float | None
    settings: Mapping[str, str]
    cached: int


Dial: TypeAlias = Callable[[], Awaitable[Connection]]
"""Opens a connection."""


class Driver(Protocol):
    """Opens connections and creates pools."""

    async def dial(self, dialling: Dialling) -> Connection:
        """Open a connection.

        Raises:
            DRIVER_ERRORS, ValueError: Connecting failed.
        """

    def pool(self, dial: Dial, *, first: int, size: int) -> ConnectionPool:
        """Return a pool whose connections are opened by ``dial``.

        Args:
            dial: Opens a connection; ``acquire`` raises its errors.
            first: The number of connections that are opened when the pool is awaited.
            size: The largest number of connections.
        """


class Failure(Enum):
    """The classes of driver errors, besides their SQLSTATE."""

    ANSWER = "the server has answered, with an SQLSTATE"
    LOSS = "the connection is of no use any more, and what became of the statement is open"
    ADDRESS = "the address cannot be used"
    VALUE = "a value cannot be sent, and nothing was"
    UNKNOWN = "none of these"


class DriverError(Exception):
    """An error of an optional driver: its own classes cannot be named if it is not installed.

    Attributes:
        failure: The class of the error.
        sqlstate: The server's SQLSTATE; None if the error did not come from the server.
        constraint_name: The violated constraint, if there is one.
        ended_by: The SQLSTATE with which the server had ended the connection before, if it sent one.
    """

    def __init__(
        self,
        words: str,
        *,
        failure: Failure,
        sqlstate: str | None = None,
        constraint_name: str | None = None,
        ended_by: str | None = None,
    ) -> None:
        super().__init__(words)
        self.failure = failure
        self.sqlstate = sqlstate
        self.constraint_name = constraint_name
        self.ended_by = ended_by
