"""Streams: the results of queries, and which servers may answer them."""

from enum import StrEnum

import msgspec

from eventstore.events import RecordedEvent
from eventstore.position import Position

__all__ = ["Consistency", "EventStream", "ServerAddress", "Window"]


class Consistency(StrEnum):
    """Which servers may answer a read.

    STRONG: the primary; everything recorded before the call is seen.
    EVENTUAL: a replica, which may lag. A following append is still checked on the primary.
    """

    STRONG = "strong"
    EVENTUAL = "eventual"


class ServerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """The address of a server.

    Attributes:
        host: The server's host name or IP address.
        port: The server's port, or None if the store's address has none.
    """

    host: str
    port: int | None = None

    def __str__(self) -> str:
        """Return host and port as they are written in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


class EventStream(msgspec.Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """The result of a query.

    Attributes:
        events: The matching events, in order.
        position: The head of the log in the same snapshot: the ``after`` of a following append.
        replica: Whether a replica answered.
        server: The server that answered; None for a store without servers, and if the store's address names several
            hosts. It is ignored when streams are compared.
        complete: Whether ``events`` has all matching events. If False, more matched than the caller wanted, and
            ``events`` is empty.
    """

    events: tuple[RecordedEvent, ...]
    position: Position
    replica: bool = False
    complete: bool = True
    server: ServerAddress | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EventStream):
            return NotImplemented
        return self._found == other._found

    def __hash__(self) -> int:
        return hash(self._found)

    @property
    def _found(self) -> tuple[object, ...]:
        return self.events, self.position, self.replica, self.complete


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A contiguous range of the log that a follower has read.

    Attributes:
        events: The matching events of the range, in order.
        position: The end of the range: a reader that continues after this position misses nothing.
        head: The head of the log in the same snapshot.
    """

    events: tuple[RecordedEvent, ...]
    position: Position
    head: Position
