"""Windows: a long log is looked at piece by piece, each about as wide as brings the events wanted at a time."""

from collections.abc import AsyncIterator

from eventstore.errors import HistoryArchived
from eventstore.filter import Filter
from eventstore.position import Position
from eventstore.postgres.reads.reader import Reader
from eventstore.stream import Consistency, EventStream

__all__ = ["WIDEST", "next_width", "walk", "walk_back"]

WIDEST = 16
"""A window has this many numbers at most for each event that is wanted at a time."""


def next_width(width: int, found: int, batch_size: int) -> int:
    """Say how many numbers to look at next, after so many of ``width`` matched."""
    return batch_size if found > batch_size else min(2 * width, WIDEST * batch_size)


async def walk(
    reader: Reader,
    boundary: Filter,
    *,
    seen: int,
    last: int,
    batch_size: int,
    consistency: Consistency,
    min_position: Position,
) -> AsyncIterator[EventStream]:
    """Walk the log from one number to another, towards the head.

    Numbers are gapless and in commit order, so no event can appear in a window later.

    Args:
        reader: Who answers.
        boundary: Which events are of interest.
        seen: Begin above this number.
        last: The last number; it lies in the log.
        batch_size: About how many events are wanted at a time.
        consistency: Whether a replica may answer.
        min_position: Whoever answers must be that far.

    Yields:
        Each window's stream.
    """
    width = batch_size
    while seen < last:
        window = boundary.narrowed_above(seen)
        seen = min(seen + width, last)
        stream = await reader.query(window, consistency=consistency, min_position=min_position, up_to=seen)
        yield stream
        width = next_width(width, len(stream.events), batch_size)


async def walk_back(
    reader: Reader,
    boundary: Filter,
    *,
    head: Position,
    last: int,
    width: int,
    batch_size: int,
    consistency: Consistency,
) -> AsyncIterator[EventStream]:
    """Walk the log from a number back to its start.

    Args:
        reader: Who answers.
        boundary: Which events are of interest.
        head: Whoever answers must be that far.
        last: Where to begin; it lies in the log.
        width: How many numbers to look at first.
        batch_size: About how many events are wanted at a time.
        consistency: Whether a replica may answer.

    Yields:
        Each window's stream, the last one first.

    Raises:
        HistoryArchived: It has come to what is archived.
    """
    seen = last
    while seen > boundary.above:
        window = boundary.narrowed_above(max(seen - width, 0))
        stream: EventStream | None = None
        while stream is None:
            try:
                stream = await reader.query(window, consistency=consistency, min_position=head, up_to=seen)
            except HistoryArchived as error:
                if not window.above < error.last < seen:
                    raise
                window = boundary.narrowed_above(error.last)  # perhaps what lies above is enough
        yield stream
        seen, width = window.above, next_width(width, len(stream.events), batch_size)
