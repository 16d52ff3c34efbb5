"""Streams: what queries find, and which server may answer them, and did."""

from enum import StrEnum

import msgspec

from eventstore.events import RecordedEvent
from eventstore.position import Position

__all__ = ["Consistency", "EventStream", "ServerAddress", "Window"]


class Consistency(StrEnum):
    """Where a read may be answered.

    STRONG: by the primary; everything recorded before the call is seen.
    EVENTUAL: by a replica, which may lag. An append that follows is still checked on the primary.
    """

    STRONG = "strong"
    EVENTUAL = "eventual"


class ServerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server is reached.

    Attributes:
        host: Its name or address.
        port: Its port, or None if the store's address names none.
    """

    host: str
    port: int | None = None

    def __str__(self) -> str:
        """Write it as host and port, as it is read in an address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


class EventStream(msgspec.Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """What a query found.

    Attributes:
        events: The matching events, in order.
        position: The head of the log in the same snapshot: the ``after`` of an append that follows.
        replica: Whether a replica answered.
        server: Which server answered; None for a store without servers, and where its address names several hosts. Two
            streams that differ in it alone are equal.
        complete: Whether these are all of them; if not, there are more than the caller wanted, and none is here.
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
    """A piece of the log that was looked at, by one that follows it.

    Attributes:
        events: Those of it that match, in order.
        position: Up to where it goes: who takes it and comes back with this position goes on without a gap.
        head: How far the log was, in the same snapshot.
    """

    events: tuple[RecordedEvent, ...]
    position: Position
    head: Position
