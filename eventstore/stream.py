"""Streams: what queries find, and which server may answer them, and did."""

from dataclasses import dataclass, field
from enum import StrEnum

from eventstore.events import RecordedEvent
from eventstore.position import Position

__all__ = ["Consistency", "EventStream", "ServerAddress"]


class Consistency(StrEnum):
    """Where a read may be answered.

    STRONG: by the primary; everything recorded before the call is seen.
    EVENTUAL: by a replica, which may lag. An append that follows is still checked on the primary.
    """

    STRONG = "strong"
    EVENTUAL = "eventual"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """Where a server is reached.

    Attributes:
        host: Its name or address.
        port: Its port, or None if the store's address names none.
    """

    host: str
    port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStream:
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
    server: ServerAddress | None = field(default=None, compare=False)
