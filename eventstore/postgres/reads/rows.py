"""Rows of the reading statements as values."""

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
"""The branch of the row that is the head."""

TOKEN = -1
"""The branch of rows that hold the tokens that were asked for."""

ARCHIVED = -4
"""The branch of rows that tell which branch may match in an archived range."""

ARCHIVED_POSITION = -5
"""The branch of rows that tell which token that was asked for lies in an archived range."""

_WALK = -2
# What an ``UnreadEvent`` takes for an object.
_unread: Callable[[str], Any] = Raw


def event_of(row: Row) -> RecordedEvent:
    """Read a row that is an event: its branch, then the event's columns."""
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


def key_of(row: Row) -> SubjectKey:
    """Read a row that is a subject's key."""
    return SubjectKey(id=row["id"], subject=Subject(row["field"], row["subject"]), wrapped=row["wrapped_key"])


def head_of(rows: Iterable[Row]) -> Position:
    """Find the head; an empty log has none."""
    return next((Position(number=row[1], token=row[2]) for row in rows if row[0] == HEAD), START)


def walk_of(rows: Iterable[Row]) -> tuple[int, int]:
    """Find how many events a walk passed, and how many of them had a type that was asked for."""
    return next(((row[1], row[2]) for row in rows if row[0] == _WALK), (0, 0))
