"""Subscriptions: reads that keep following the log through lost connections and restarts, without gap or repetition."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from eventstore.backoff import Backoff
from eventstore.errors import RetryableError
from eventstore.events import RecordedEvent
from eventstore.filter import Filter
from eventstore.position import LAST_NUMBER, Position
from eventstore.postgres.reads.reader import Reader
from eventstore.postgres.reads.windows import next_width
from eventstore.stream import Consistency, Window

__all__ = ["Subscription"]

# The largest wait after a failure in seconds: after the first one, and after any later one.
_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 5.0


@dataclass(slots=True, kw_only=True)
class Subscription:
    """One running subscription.

    Sequence numbers are gapless and in commit order, so no event can appear later in a range that was read.

    Attributes:
        reader: Answers the queries.
        boundary: The filter that selects the events.
        batch_size: The approximate number of events fetched at a time.
        consistency: Whether a replica may answer.
        follow_seconds: The interval in seconds at which new events are looked for.
        above: The sequence number above which it begins; it may lie beyond the head.
        seen: The position that has been read up to. While it lies in the history, everything below it is unchanged.
        end: The sequence number of the head when it was last read; by default 0.
    """

    reader: Reader
    boundary: Filter
    batch_size: int
    consistency: Consistency
    follow_seconds: float
    above: int
    seen: Position
    end: int = 0

    async def events(self) -> AsyncIterator[RecordedEvent]:
        """Answer ``EventStore.subscribe``."""
        async for window in self.windows():
            for event in window.events:
                yield event

    async def windows(self) -> AsyncIterator[Window]:
        """Answer ``EventStore.follow``."""
        width, backoff = self.batch_size, Backoff(first=_FIRST_WAIT_SECONDS, longest=_LONGEST_WAIT_SECONDS)
        while True:
            try:
                window = await self._next(width)
            except RetryableError:
                await backoff.rest()
                continue
            backoff.reset()
            if window is None:
                await asyncio.sleep(self.follow_seconds)
                continue
            yield window
            width = next_width(width, len(window.events), self.batch_size)

    async def _next(self, width: int) -> Window | None:
        """Read the next window; None if the log has no more events."""
        seen = self.seen
        if seen.number >= self.end:
            head = await self.reader.head(consistency=self.consistency)
            # A log that ends earlier lags or was truncated. Its number does not show which; the position's token does,
            # once the log is that long again.
            if head.number < seen.number or head == seen:
                return None
            self.end = head.number
        begin = max(seen.number, self.above)
        window = await self.reader.window(
            self.boundary.narrowed_above(begin),
            consistency=self.consistency,
            min_position=seen,
            up_to=min(begin + width, LAST_NUMBER),
            reach=self.end,  # another replica may be less far
        )
        self.end = window.head.number
        if seen.number == window.position.number:
            return None  # the head belonged to another history
        self.seen = window.position
        return window
