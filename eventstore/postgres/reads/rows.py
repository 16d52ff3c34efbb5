"""Rows of the reading statements as values."""

from collections.abc import Iterable

from eventstore.events import RecordedEvent
from eventstore.jsontext import decode_object
from eventstore.position import START, Position
from eventstore.postgres.drivers.protocol import Row
from eventstore.stored_state import StateKey, StoredState

__all__ = ["HEAD", "TOKEN", "event_of", "head_of", "state_of", "walk_of"]

HEAD = 0
"""The branch of the row that is the head."""

TOKEN = -1
"""The branch of rows that hold the tokens that were asked for."""

_WALK = -2


def event_of(row: Row) -> RecordedEvent:
    """Read a row that is an event: its branch, then the event's columns."""
    _, number, token, event_type, occurred_at, payload, metadata = row
    return RecordedEvent(
        sequence_number=number,
        token=token,
        type=event_type,
        payload=decode_object(payload),
        metadata=decode_object(metadata),
        occurred_at=occurred_at,
    )


def state_of(key: StateKey, row: Row) -> StoredState | None:
    """Read a row of ``states.sql``; None if its position is none: it is only a cache, and was damaged."""
    try:
        position = Position(number=row["position"], token=row["token"])
    except ValueError:
        return None
    return StoredState(
        key=key,
        position=position,
        state=row["state"],
        events=row["events"],
        written_at=row["written_at"],
    )


def head_of(rows: Iterable[Row]) -> Position:
    """Find the head; an empty log has none."""
    return next((Position(number=row[1], token=row[2]) for row in rows if row[0] == HEAD), START)


def walk_of(rows: Iterable[Row]) -> tuple[int, int]:
    """Find how many events a walk passed, and how many of them had a type that was asked for."""
    return next(((row[1], row[2]) for row in rows if row[0] == _WALK), (0, 0))
