"""Windows: a long log is read in ranges, each about wide enough for the number of events wanted at a time."""

from collections.abc import AsyncIterator

from eventstore.errors import HistoryArchived
from eventstore.filter import Filter
from eventstore.position import Position
from eventstore.postgres.reads.reader import Reader
from eventstore.stream import Consistency, EventStream

__all__ = ["WIDEST", "next_width", "walk", "walk_back"]

WIDEST = 16
"""The largest number of sequence numbers in a window, for each event wanted at a time."""


def next_width(width: int, found: int, batch_size: int) -> int:
    """Return the width of the next window, after ``found`` events matched in one of ``width`` numbers."""
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
    """Walk the log from one sequence number to another, towards the head.

    Sequence numbers are gapless and in commit order, so no event can appear later in a window that was read.

    Args:
        reader: Answers the queries.
        boundary: The filter that selects the events.
        seen: The sequence number above which the walk begins.
        last: The last sequence number; it must be in the log.
        batch_size: The approximate number of events wanted at a time.
        consistency: Whether a replica may answer.
        min_position: The position that an answering server must have reached.

    Yields:
        The stream of each window, in order.
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
    """Walk the log from a sequence number back to its start.

    Args:
        reader: Answers the queries.
        boundary: The filter that selects the events.
        head: The position that an answering server must have reached.
        last: The sequence number at which the walk begins; it must be in the log.
        width: The width of the first window, in sequence numbers.
        batch_size: The approximate number of events wanted at a time.
        consistency: Whether a replica may answer.

    Yields:
        The stream of each window, the last window first.

    Raises:
        HistoryArchived: The walk has reached an archived range.
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
                window = boundary.narrowed_above(error.last)  # the events above the archived range may suffice
        yield stream
        seen, width = window.above, next_width(width, len(stream.events), batch_size)
