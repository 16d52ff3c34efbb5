"""What the store needs of a driver: connections, pools of them, and what their errors mean.

asyncpg's own classes have this form. Other drivers' are brought into it.
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
    """A row of an answer: a sequence that also knows its columns by name."""

    def __getitem__(self, key: int | str, /) -> Any:
        """Return a column, by its place or its name."""

    def __iter__(self) -> Any:
        """Go through the columns."""

    def __len__(self) -> int:
        """Count the columns."""

    def keys(self) -> Any:
        """Name the columns."""


class Message(Protocol):
    """What a server says beside an answer."""

    @property
    def sqlstate(self) -> str | None:
        """Its code."""


class ServerVersion(Protocol):
    """A server's version."""

    @property
    def major(self) -> int:
        """The first of its numbers."""


Listener: TypeAlias = Callable[[Any, Any], None]
"""Is called with a connection and with each ``Message`` that comes on it."""


class Connection(Protocol):
    """A session of a server, in which nothing happens beside the statements that it is given.

    What goes wrong is raised as one of ``errors.DRIVER_ERRORS``; ``TimeoutError`` where a time was given.
    """

    async def fetch(self, query: str, /, *args: Any, timeout: float | None = None) -> Sequence[Row]:  # noqa: ASYNC109  the driver's own form
        """Run one statement, and return its rows. On cancellation the server is asked to give it up.

        Args:
            query: The statement, with $1, $2 … for its values.
            args: The values. JSON is text, in both directions.
            timeout: How many seconds it may take.
        """

    async def execute(self, query: str, /) -> Any:
        """Run statements without values."""

    async def prepare(self, query: str, /) -> Any:
        """Have the server read a statement, and look up what it names."""

    def is_closed(self) -> bool:
        """Whether it is known to have ended, whoever ended it."""

    def is_in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def get_server_pid(self) -> int:
        """Return the process in the server."""

    def get_server_version(self) -> "ServerVersion":
        """Return the server's version."""

    def terminate(self) -> None:
        """End it at once, also under a statement, which fails then."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  the driver's own form
        """End it, and say so to the server."""

    def add_log_listener(self, callback: Listener, /) -> None:
        """Have warnings and notices told, until ``remove_log_listener``."""

    def remove_log_listener(self, callback: Listener, /) -> None:
        """Undo ``add_log_listener``."""


class ConnectionPool(Protocol):
    """Connections to one server, lent one at a time. It is awaited before its first use."""

    def __await__(self) -> Generator[Any, None, Any]:
        """Make the first connections."""

    def acquire(self) -> Awaitable[Any]:
        """Lend a ``Connection``, once one is free."""

    async def release(self, connection: Any, /, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  the driver's own form
        """Take a connection back, in whatever state it is; close one that is not as good as new."""

    async def expire_connections(self) -> None:
        """Replace each present connection, once it is free."""

    def get_size(self) -> int:
        """Count the open connections."""

    def get_idle_size(self) -> int:
        """Count those that are not lent."""

    def get_max_size(self) -> int:
        """Return how many there may be."""

    def terminate(self) -> None:
        """End all connections at once."""

    async def close(self) -> None:
        """End each connection once it is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialling:
    """How one connection is to be made.

    Attributes:
        url: The address, without what is left out of it.
        server: Which of the servers in it is meant; None where only the driver knows.
        seconds: How long that may take.
        statement_seconds: How long a statement may take; None for as long as it takes.
        settings: What the session sets when it begins.
        cached: How many prepared statements are kept; 0 where a pooler in between cannot.
    """

    url: str
    server: ServerAddress | None
    seconds: float
    statement_seconds: float | None
    settings: Mapping[str, str]
    cached: int


Dial: TypeAlias = Callable[[], Awaitable[Connection]]
"""Makes a connection."""


class Driver(Protocol):
    """Makes connections and pools."""

    async def dial(self, dialling: Dialling) -> Connection:
        """Make a connection.

        Raises:
            DRIVER_ERRORS, ValueError: It cannot be made.
        """

    def pool(self, dial: Dial, *, first: int, size: int) -> ConnectionPool:
        """Return a pool of connections that are made by ``dial``.

        Args:
            dial: Makes one; what it raises, ``acquire`` raises.
            first: How many are made at once.
            size: How many there may be.
        """


class Failure(Enum):
    """What a driver's error says, beside its SQLSTATE."""

    ANSWER = "the server has answered, with an SQLSTATE"
    LOSS = "the connection is of no use any more, and what became of the statement is open"
    ADDRESS = "the address cannot be used"
    VALUE = "a value cannot be sent, and nothing was"
    UNKNOWN = "none of these"


class DriverError(Exception):
    """An error of a driver that is not always there: its own classes cannot be named where it is missing.

    Attributes:
        failure: What it says.
        sqlstate: The server's code, None if it did not come from the server.
        constraint_name: The constraint that was hurt, if one was.
        ended_by: The code with which the server had ended the connection before, if it said so.
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
