"""Histories: all that matches a filter, in order and in constant memory, by the indexes or along the log.

By the indexes the numbers of the events are found first, which are small, and then the events, some at a time. Each
statement stands for itself: nothing is held in a server between them, so that a caller may take its time or not come
back, and another server may go on.
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

# How many numbers are held.
_MOST_NUMBERS = 100_000


@dataclass(slots=True, kw_only=True)
class History:
    """A long read under way.

    Attributes:
        reader: Who answers.
        boundary: Which events.
        batch_size: About how many events are fetched at a time.
        consistency: Where they may be read.
        head: How far the log is known to be: whoever answers must be that far, in the same history.
        seen: Up to which number it has looked.
        last: Where it ends.
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
        """Go on by the indexes, to the end or as far as they are the faster way."""
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
                return  # it took too long, perhaps; each step along the log is short
            if reached is not None:
                # There are more between here and there than can be held.
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
        """Whether looking at all numbers costs less than looking up the whole history once for each window."""
        windows, history = density * (self.last - self.seen) / _MOST_NUMBERS, density * self.last
        return windows * history > self.last - self.seen
