"""The store as a recorder of the package ``eventsourcing``: its DCB interface over any engine.

It only translates. A tag is a field of the payload whose value is true. The ``after`` of a condition is a number there
and a position with its event's token here, so that event is looked up first.
"""

import asyncio
import threading
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from eventsourcing.dcb.api import (
    DCBAppendCondition,
    DCBEvent,
    DCBQuery,
    DCBQueryItem,
    DCBReadResponse,
    DCBRecorder,
    DCBSequencedEvent,
    DCBSubscription,
)
from eventsourcing.persistence import IntegrityError

from eventstore import ConcurrencyConflict, Event, EventStore, Filter, P, Position, RecordedEvent

__all__ = ["Recorder"]

T = TypeVar("T")

_ANY = Filter.matching_any_event()
_DATA, _TAGS = "data", "tags"


class Recorder(DCBRecorder):  # type: ignore[misc]  # mypy does not read the package's types
    """A recorder over a store that runs in its own thread.

    Args:
        opening: Opens the store.
    """

    def __init__(self, opening: AbstractAsyncContextManager[EventStore]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._opening = opening
        self.store = self.wait_for(opening.__aenter__())

    def wait_for(self, asked: Awaitable[T]) -> T:
        """Run an operation of the store, and wait for its result."""

        async def answered() -> T:
            return await asked

        return asyncio.run_coroutine_threadsafe(answered(), self._loop).result()

    def close(self) -> None:
        """Close the store, and end its thread."""
        self.wait_for(self._opening.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def read(
        self, query: DCBQuery | None = None, *, after: int | None = None, limit: int | None = None
    ) -> DCBReadResponse:
        """See ``DCBRecorder.read``."""
        stream = self.wait_for(self.store.query(_filter(query).narrowed_above(after or 0)))
        events = stream.events[:limit]
        if limit is None:
            return _Response(events, stream.position.number)
        return _Response(events, events[-1].sequence_number if events else None)

    def append(self, events: Sequence[DCBEvent], condition: DCBAppendCondition | None = None) -> int:
        """See ``DCBRecorder.append``."""
        return self.wait_for(self._append([_event(event) for event in events], condition))

    async def _append(self, events: Sequence[Event], condition: DCBAppendCondition | None) -> int:
        if condition is None:
            return (await self.store.append(events)).position.number
        boundary = _filter(condition.fail_if_events_match)
        after = await self._position(condition.after) if condition.after else None
        try:
            return (await self.store.append(events, boundary=boundary, after=after)).position.number
        except ConcurrencyConflict as error:
            raise IntegrityError(str(error)) from error

    async def _position(self, number: int) -> Position:
        found = await self.store.query(_ANY.narrowed_above(number - 1))
        return found.events[0].position if found.events else found.position

    def subscribe(self, query: DCBQuery | None = None, *, after: int | None = None) -> DCBSubscription:
        """See ``DCBRecorder.subscribe``."""
        return _Subscription(self, query, after)


class _Response(DCBReadResponse):  # type: ignore[misc]  # as above
    def __init__(self, events: Sequence[RecordedEvent], head: int | None) -> None:
        self._events = iter(events)
        self._head = head

    @property
    def head(self) -> int | None:
        return self._head

    def __next__(self) -> DCBSequencedEvent:
        return _sequenced(next(self._events))


class _Subscription(DCBSubscription):  # type: ignore[misc]  # as above
    def __init__(self, recorder: Recorder, query: DCBQuery | None, after: int | None) -> None:
        super().__init__(recorder, query, after)
        self._events = recorder.store.subscribe(_filter(query).narrowed_above(after or 0))

    def __next__(self) -> DCBSequencedEvent:
        return _sequenced(self._recorder.wait_for(anext(self._events)))


def _filter(query: DCBQuery | None) -> Filter:
    # In the package, a query without items matches every event, and so does an item without types and tags.
    items = [item for alternative in (query.items if query else ()) for item in _alternative(alternative).items]
    return Filter(tuple(items)) if items else _ANY


def _alternative(item: DCBQueryItem) -> Filter:
    tags = [P(_field(tag), value=True) for tag in item.tags]
    if not item.types:
        return Filter.matching().all_predicates_of(*tags) if tags else _ANY
    types = Filter.matching().any_event_type_of(*item.types)
    return types.and_all_predicates_of(*tags) if tags else types


def _event(event: DCBEvent) -> Event:
    payload = {_DATA: b64encode(event.data).decode(), _TAGS: list(event.tags)}
    return Event(type=event.type, payload=payload | {_field(tag): True for tag in event.tags})


def _sequenced(event: RecordedEvent) -> DCBSequencedEvent:
    held = DCBEvent(type=event.type, data=b64decode(event.payload[_DATA]), tags=event.payload[_TAGS])
    return DCBSequencedEvent(event=held, position=event.sequence_number)


def _field(tag: str) -> str:
    return f"tag:{tag}"
