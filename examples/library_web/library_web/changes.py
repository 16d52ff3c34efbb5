import asyncio
import logging
from collections.abc import AsyncIterator

from eventstore import EventStore, EventStoreError, Filter, HistoryDiverged, Position

_log = logging.getLogger(__name__)
_REST_SECONDS = 5.0


class Changes:
    """Says that something has changed, to everybody who watches: one subscription, however many browsers there are."""

    def __init__(self, store: EventStore, events: Filter) -> None:
        self._store = store
        self._events = events
        self._last: Position | None = None
        self._moved = asyncio.Event()
        self._closed = False

    async def run(self) -> None:
        """Follow the log until cancelled."""
        while True:
            try:
                await self._follow()
            except HistoryDiverged as error:
                _log.warning("what was shown is read anew: %s", error)
            except EventStoreError as error:
                _log.error("nothing is live now: %s", error)
                await asyncio.sleep(_REST_SECONDS)

    def close(self) -> None:
        """End the streams of everybody who watches."""
        self._closed = True
        self._tell(self._last)

    async def watch(self, seen: Position | None) -> AsyncIterator[Position]:
        """Yield a position whenever something has changed up to there, beginning with what came after ``seen``."""
        told = self._last
        if told is not None and (seen is None or told.number > seen.number):
            yield told
        while not self._closed:
            if self._last is not None and self._last != told:
                told = self._last
                yield told
            else:
                await self._moved.wait()

    async def _follow(self) -> None:
        position = await self._store.position()
        self._tell(position)
        async for window in self._store.follow(self._events, after=position):
            if window.events:
                self._tell(window.position)

    def _tell(self, position: Position | None) -> None:
        self._last = position
        self._moved.set()
        self._moved = asyncio.Event()
