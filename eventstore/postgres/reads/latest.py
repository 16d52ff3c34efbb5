"""The latest events of a filter: few matches are found by the indexes, many by walking back from the head."""

from collections import deque
from itertools import islice

from msgspec.structs import replace

from eventstore.errors import HistoryArchived
from eventstore.events import RecordedEvent
from eventstore.filter import Filter
from eventstore.postgres.reads.reader import Reader
from eventstore.postgres.reads.windows import walk_back
from eventstore.stream import Consistency, EventStream

__all__ = ["latest"]

# The number of sequence numbers that one statement of a walk back covers at first.
_WINDOW = 1000


async def latest(
    reader: Reader, boundary: Filter, *, limit: int, up_to: int | None, consistency: Consistency
) -> EventStream:
    """Answer ``EventStore.latest``."""
    try:
        stream = await reader.short(boundary, consistency=consistency)
    except HistoryArchived:
        stream = None  # the last events may lie above the archived range
    if stream is not None:
        below = [event for event in stream.events if up_to is None or event.sequence_number <= up_to]
        return replace(stream, events=tuple(below[-limit:]))
    head = await reader.head(consistency=consistency, bound=boundary.above)
    first, last = await reader.span(boundary, consistency=consistency, min_position=head) or (1, head.number)
    last = min(last, head.number if up_to is None else min(up_to, head.number))
    found: deque[RecordedEvent] = deque()
    async for stream in walk_back(
        reader,
        boundary.narrowed_above(first - 1),
        head=head,
        last=last,
        width=limit,
        batch_size=max(limit, _WINDOW),
        consistency=consistency,
    ):
        found.extendleft(islice(reversed(stream.events), limit - len(found)))
        if len(found) == limit:
            break
    return EventStream(events=tuple(found), position=head)
