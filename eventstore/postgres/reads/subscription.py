"""Subscriptions: reads that go on to follow the log, through lost connections and restarts; none skips or repeats."""

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

# How long it waits after a failure, at most: after the first, and after any.
_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 5.0


@dataclass(slots=True, kw_only=True)
class Subscription:
    """One subscription.

    Numbers are gapless and in commit order, so no event can appear later among those that were looked at.

    Attributes:
        reader: Who answers.
        boundary: Which events.
        batch_size: About how many events are fetched at a time.
        consistency: Where they may be read.
        follow_seconds: How often it looks for new events.
        above: Where it begins: above this number, which may lie in the future.
        seen: How far it has looked. As long as this position holds, everything up to it is as it was.
        end: How far the log was when it did.
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
        """Look at what lies above what was looked at; return None when nothing does."""
        seen = self.seen
        if seen.number >= self.end:
            head = await self.reader.head(consistency=self.consistency)
            # One that ends earlier lags, or was cut back: the number cannot tell, and what comes will.
            if head.number < seen.number or head == seen:
                return None
            self.end = head.number
        begin = max(seen.number, self.above)
        window = await self.reader.window(
            self.boundary.narrowed_above(begin),
            consistency=self.consistency,
            min_position=seen,
            up_to=min(begin + width, LAST_NUMBER),
            reach=self.end,  # whoever answers: another replica might show less
        )
        self.end = window.head.number
        if seen.number == window.position.number:
            return None  # the head that was seen was another history's
        self.seen = window.position
        return window
