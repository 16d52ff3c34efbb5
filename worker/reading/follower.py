"""A follower: reads the log on from a checkpoint, and has a sink take it, window by window."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from eventstore import Consistency, EventStore, Filter, Position, Window
from worker.reading.lease import Checkpoint

__all__ = ["Follower", "Progress", "Sink"]

# Events that are read at a time: few as long as it is not known how large they are.
_FIRST_BATCH, _BATCH = 125, 2000
_BATCH_BYTES = 4 * 1024 * 1024
# So many of a window are weighed.
_WEIGHED = 8
# Windows that are read while another one is written.
_AHEAD = 1


@dataclass(slots=True)
class Progress:
    """What a process knows of a follower that it runs.

    Attributes:
        number: How far it has come.
        head: How far the log was when it was last looked at.
        events: How many events it took in since it began.
        behind_since: When it was last known to have all there is, by the monotonic clock; None while it has.
    """

    number: int = 0
    head: int = 0
    events: int = 0
    behind_since: float | None = field(default_factory=time.monotonic)

    @property
    def behind_seconds(self) -> float:
        """For how long it has not had all there is."""
        return 0.0 if self.behind_since is None else time.monotonic() - self.behind_since

    @property
    def has_caught_up(self) -> bool:
        """Whether it had all there was when it last looked."""
        return self.behind_since is None

    def looked(self, position: Position, head: Position, events: int) -> None:
        """Take note of a window that is done with."""
        self.number, self.head = position.number, head.number
        self.events += events
        if self.number >= self.head:
            self.behind_since = None
        elif self.behind_since is None:
            self.behind_since = time.monotonic()

    def sees(self, head: Position) -> None:
        """Take note of how far the log is."""
        self.head = max(self.head, head.number)
        if self.head > self.number and self.behind_since is None:
            self.behind_since = time.monotonic()


class Sink(Protocol):
    """What a follower hands the log to."""

    async def take(self, window: Window, checkpoint: Checkpoint) -> None:
        """Have a window's events take effect, and move the checkpoint to its end.

        Raises:
            LeaseLost: Another process has the lease.
            Exception: What ends the follower; from the checkpoint it can go on.
        """
        ...


class Follower:
    """Reads a log for a sink.

    Args:
        store: The log; eventual reads, on a replica if there is one.
        events: Which events.
        sink: What takes them.
        checkpoint: Where to begin.
        progress: Kept up to date.
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
        """Follow until cancelled. While a window is taken, the next one is read.

        Raises:
            HistoryDiverged: The checkpoint is not in the log's history any more.
            EventStoreError: The log cannot be read, in a way that waiting does not mend.
            LeaseLost, Exception: Whatever the sink raises.
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
    """Return how many events to read at a time behind a window, so that what is held of them stays small."""
    events = window.events
    weighed = events[:: max(len(events) // _WEIGHED, 1)]
    size = sum(len(repr(event.payload)) for event in weighed) / max(len(weighed), 1)
    while batch > 1 and batch * size > _BATCH_BYTES:
        batch //= 2
    is_full = len(events) >= batch
    return 2 * batch if is_full and 2 * batch <= _BATCH and 2 * batch * size <= _BATCH_BYTES else batch
