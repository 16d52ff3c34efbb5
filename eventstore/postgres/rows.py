"""Rows of the reading statements as values."""

from collections.abc import Iterable

import asyncpg

from eventstore.errors import StoreMisconfigured
from eventstore.events import RecordedEvent
from eventstore.jsontext import decode_object
from eventstore.position import Position

__all__ = ["event_of", "head_of", "tokens_of", "walk_of"]


def event_of(row: asyncpg.Record) -> RecordedEvent:
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


def head_of(rows: Iterable[asyncpg.Record]) -> Position:
    """Find the row of branch 0, which is the head.

    Raises:
        StoreMisconfigured: There is none.
    """
    for branch, number, token, *_ in rows:
        if branch == 0:
            return Position(number=number, token=token)
    raise StoreMisconfigured("the event store has lost its head row: restore the database from a backup")


def tokens_of(rows: Iterable[asyncpg.Record]) -> dict[int, int]:
    """Find the rows of branch -1, the tokens that were asked for, by number."""
    return {row[1]: row[2] for row in rows if row[0] == -1}


def walk_of(rows: Iterable[asyncpg.Record]) -> tuple[int, int]:
    """Find the row of branch -2: how many events a walk passed, and how many of them had a type that was asked for."""
    return next(((row[1], row[2]) for row in rows if row[0] == -2), (0, 0))  # noqa: PLR2004  the statement's own number
