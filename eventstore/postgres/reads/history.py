"""Histories: all events of a filter, in order and in constant memory, by the indexes or by walking the log.

By the indexes, the sequence numbers are found first, which are small, and then the events in batches. Each statement is
independent: no server holds a cursor between them, so the caller may pause or stop at any time, and another server can
continue.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from eventstore.errors import RetryableError
from eventstore.events import RecordedEvent
from eventstore.filter import Filter
from eventstore.position import Position
from eventstore.postgres.reads.branches import matches_any
from eventstore.postgres.reads.reader import Reader
from eventstore.postgres.reads.windows import WIDEST, walk
from eventstore.stream import Consistency

__all__ = ["History"]

# The number of sequence numbers held in memory.
_MOST_NUMBERS = 100_000


@dataclass(slots=True, kw_only=True)
class History:
    """A running long read.

    Attributes:
        reader: Answers the queries.
        boundary: The filter that selects the events.
        batch_size: The approximate number of events fetched at a time.
        consistency: Whether a replica may answer.
        head: The known head of the log: an answering server must have reached it, in the same history.
        seen: The sequence number that has been read up to.
        last: The last sequence number to read.
    """

    reader: Reader
    boundary: Filter
    batch_size: int
    consistency: Consistency
    head: Position
    seen: int
    last: int

    async def events(self) -> AsyncIterator[RecordedEvent]:
        """Answer ``EventStore.read``."""
        span = await self.reader.span(self.boundary, consistency=self.consistency, min_position=self.head)
        if span is not None:
            self.seen, self.last = max(self.seen, span[0] - 1), min(self.last, span[1])
        if not matches_any(self.boundary) and self.last - self.seen > WIDEST * self.batch_size:
            async for event in self._by_index():
                yield event
        async for stream in walk(
            self.reader,
            self.boundary,
            seen=self.seen,
            last=self.last,
            batch_size=self.batch_size,
            consistency=self.consistency,
            min_position=self.head,
        ):
            for event in stream.events:
                yield event

    async def _by_index(self) -> AsyncIterator[RecordedEvent]:
        """Continue by the indexes, to the end or until walking the log is faster."""
        up_to = self.last
        while self.seen < self.last:
            try:
                numbers, reached = await self.reader.numbers(
                    self.boundary.narrowed_above(self.seen),
                    up_to=up_to,
                    most=_MOST_NUMBERS,
                    consistency=self.consistency,
                    min_position=self.head,
                )
            except RetryableError:
                return  # possibly a timeout; the steps of a walk are short
            if reached is not None:
                # There are more matches up to here than can be held.
                span = reached - self.seen
                if self._is_dense(_MOST_NUMBERS / span):
                    return
                up_to = self.seen + max(1, span * 4 // 5)
                continue
            for start in range(0, len(numbers), self.batch_size):
                stream = await self.reader.listed(
                    numbers[start : start + self.batch_size], consistency=self.consistency, min_position=self.head
                )
                for event in stream.events:
                    yield event
            width, self.seen = up_to - self.seen, up_to
            up_to = min(up_to + width, self.last)

    def _is_dense(self, density: float) -> bool:
        """Return whether a walk costs less than one look-up of the whole history for each window."""
        windows, history = density * (self.last - self.seen) / _MOST_NUMBERS, density * self.last
        return windows * history > self.last - self.seen
