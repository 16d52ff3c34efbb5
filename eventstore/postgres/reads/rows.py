"""Rows of the reading statements, converted to values."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Raw

from eventstore.events import RecordedEvent, UnreadEvent
from eventstore.position import START, Position
from eventstore.postgres.drivers.protocol import Row
from eventstore.stored_state import StateKey, StoredState
from eventstore.subject_key import Subject, SubjectKey

__all__ = ["ARCHIVED", "ARCHIVED_POSITION", "HEAD", "TOKEN", "event_of", "head_of", "key_of", "state_of", "walk_of"]

HEAD = 0
"""The branch number of the row with the head."""

TOKEN = -1
"""The branch number of rows with requested tokens."""

ARCHIVED = -4
"""The branch number of rows that name a branch that may match in an archived range."""

ARCHIVED_POSITION = -5
"""The branch number of rows that name a requested token in an archived range."""

_WALK = -2
# Typed as Any: an ``UnreadEvent`` takes raw JSON where its base class has an object.
_unread: Callable[[str], Any] = Raw


def event_of(row: Row) -> RecordedEvent:
    """Convert a row with an event: its branch, then the event's columns."""
    _, number, token, event_type, occurred_at, payload, metadata = row
    return UnreadEvent(
        sequence_number=number,
        token=token,
        type=event_type,
        payload=_unread(payload),
        metadata=_unread(metadata),
        occurred_at=occurred_at,
    )


def state_of(key: StateKey, row: Row) -> StoredState | None:
    """Convert a row of ``states.sql``; None if its position is invalid: the cache entry was damaged."""
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


def key_of(row: Row) -> SubjectKey:
    """Convert a row with a subject's key."""
    return SubjectKey(id=row["id"], subject=Subject(row["field"], row["subject"]), wrapped=row["wrapped_key"])


def head_of(rows: Iterable[Row]) -> Position:
    """Return the head from the rows; ``START`` for an empty log."""
    return next((Position(number=row[1], token=row[2]) for row in rows if row[0] == HEAD), START)


def walk_of(rows: Iterable[Row]) -> tuple[int, int]:
    """Return the number of events that a walk passed, and how many of them had a requested type."""
    return next(((row[1], row[2]) for row in rows if row[0] == _WALK), (0, 0))
