"""A follower: reads the log from a checkpoint on, and passes it to a sink, window by window."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from eventstore import Consistency, EventStore, Filter, Position, Window
from worker.reading.lease import Checkpoint

__all__ = ["Follower", "Progress", "Sink"]

# Events in a read: few at first, while their size is not known.
_FIRST_BATCH, _BATCH = 125, 2000
_BATCH_BYTES = 4 * 1024 * 1024
# How many events of a window are sampled for their size.
_WEIGHED = 8
# Windows that are read ahead while another is written.
_AHEAD = 1


@dataclass(slots=True)
class Progress:
    """The progress of a follower, as known by the process that runs it.

    Attributes:
        number: Sequence number up to which it has processed the log.
        head: Sequence number of the log's head when it was last read.
        events: How many events it has processed in this process.
        behind_since: Since when it has been behind the head, on the monotonic clock, in seconds; None if it is not.
    """

    number: int = 0
    head: int = 0
    events: int = 0
    behind_since: float | None = field(default_factory=time.monotonic)

    @property
    def behind_seconds(self) -> float:
        """For how long it has been behind the head; 0 if it is not."""
        return 0.0 if self.behind_since is None else time.monotonic() - self.behind_since

    @property
    def has_caught_up(self) -> bool:
        """Whether it had reached the head when that was last read."""
        return self.behind_since is None

    def looked(self, position: Position, head: Position, events: int) -> None:
        """Note a window that was processed: its end, the head at that time, and how many events it had."""
        self.number, self.head = position.number, head.number
        self.events += events
        if self.number >= self.head:
            self.behind_since = None
        elif self.behind_since is None:
            self.behind_since = time.monotonic()

    def sees(self, head: Position) -> None:
        """Note the position of the log's head."""
        self.head = max(self.head, head.number)
        if self.head > self.number and self.behind_since is None:
            self.behind_since = time.monotonic()


class Sink(Protocol):
    """Processes the log for a follower."""

    async def take(self, window: Window, checkpoint: Checkpoint) -> None:
        """Process the events of a window, and move the checkpoint to its end.

        Raises:
            LeaseLost: Another process has the lease.
            Exception: Any other error ends the follower's run. It can continue from the checkpoint.
        """
        ...


class Follower:
    """Reads a log for a sink.

    Args:
        store: The event store, read with eventual consistency: on a replica if there is one.
        events: The filter of the events to follow.
        sink: Processes the events.
        checkpoint: The checkpoint to begin from.
        progress: Updated as the follower goes on.
    """

    def __init__(
        self, store: EventStore, events: Filter, sink: Sink, checkpoint: Checkpoint, progress: Progress
    ) -> None:
        self._store = store
        self._events = events
        self._sink = sink
        self._checkpoint = checkpoint
        self._progress = progress

    async def run(self) -> None:
        """Follow the log until cancelled. While a window is processed, the next one is read.

        Raises:
            HistoryDiverged: The checkpoint is not part of the log's history any more.
            EventStoreError: The log cannot be read, and waiting does not help.
            LeaseLost, Exception: Any error of the sink.
        """
        progress, at = self._progress, self._checkpoint.position
        head = await self._store.position()
        progress.number = at.number
        progress.looked(at, head, 0)
        windows: asyncio.Queue[Window] = asyncio.Queue(_AHEAD)
        reading = asyncio.create_task(self._read(windows, at))
        try:
            while True:
                window = await self._next(windows, reading)
                progress.sees(window.head)
                await self._sink.take(window, self._checkpoint)
                progress.looked(window.position, window.head, len(window.events))
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await reading

    async def _read(self, windows: "asyncio.Queue[Window]", at: Position) -> None:
        batch = _FIRST_BATCH
        while True:
            following: AsyncIterator[Window] = self._store.follow(
                self._events, after=at, batch_size=batch, consistency=Consistency.EVENTUAL
            )
            async for window in following:
                await windows.put(window)
                if (fitting := _next_batch(window, batch)) != batch:
                    batch, at = fitting, window.position
                    break

    async def _next(self, windows: "asyncio.Queue[Window]", reading: "asyncio.Task[None]") -> Window:
        if not windows.empty():
            return windows.get_nowait()
        waiting = asyncio.create_task(windows.get())
        try:
            await asyncio.wait({waiting, reading}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
            await reading
            raise RuntimeError("the log has come to an end")
        finally:
            waiting.cancel()


def _next_batch(window: Window, batch: int) -> int:
    """Return how many events to read at a time after a window, so that their size in memory stays limited."""
    events = window.events
    weighed = events[:: max(len(events) // _WEIGHED, 1)]
    size = sum(len(repr(event.payload)) for event in weighed) / max(len(weighed), 1)
    while batch > 1 and batch * size > _BATCH_BYTES:
        batch //= 2
    is_full = len(events) >= batch
    return 2 * batch if is_full and 2 * batch <= _BATCH and 2 * batch * size <= _BATCH_BYTES else batch
