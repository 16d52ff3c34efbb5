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
from eventstore.stream import Consistency, EventStream

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
        seen: Up to which number it has looked.
        head: How far the log was when it did. As long as this position holds, everything up to it is as it was.
    """

    reader: Reader
    boundary: Filter
    batch_size: int
    consistency: Consistency
    follow_seconds: float
    seen: int
    head: Position

    async def events(self) -> AsyncIterator[RecordedEvent]:
        """Answer ``EventStore.subscribe``."""
        width, backoff = self.batch_size, Backoff(first=_FIRST_WAIT_SECONDS, longest=_LONGEST_WAIT_SECONDS)
        while True:
            try:
                stream = await self._next(min(self.seen + width, LAST_NUMBER))
            except RetryableError:
                await backoff.rest()
                continue
            backoff.reset()
            if stream is None:
                await asyncio.sleep(self.follow_seconds)
                continue
            for event in stream.events:
                yield event
            width = next_width(width, len(stream.events), self.batch_size)

    async def _next(self, up_to: int) -> EventStream | None:
        """Look at what lies above what was looked at; return None when nothing does."""
        head = self.head
        if self.seen >= head.number:
            head = await self.reader.head(consistency=self.consistency)
            # One that ends earlier lags, or was cut back: the number cannot tell, and what comes will.
            if head.number < self.head.number or head == self.head:
                return None
        stream = await self.reader.query(
            self.boundary.narrowed_above(self.seen),
            consistency=self.consistency,
            min_position=self.head,
            up_to=up_to,
            reach=head.number,  # whoever answers: another replica might show less
        )
        if self.seen == stream.position.number:
            return None  # the head that was seen was another history's
        self.seen, self.head = min(up_to, stream.position.number), stream.position
        return stream
