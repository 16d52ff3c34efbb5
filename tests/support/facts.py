"""Short constructors and readers for the contract tests."""

from collections.abc import AsyncIterable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from eventstore import Event, EventStore, Filter, P, Position, RecordedEvent

Found = TypeVar("Found")

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
ANY = Filter.matching_any_event()


def fact(event_type: str = "Lent", *, hour: float = 0, by: str = "test", **payload: Any) -> Event:
    """An event that occurred in this hour of a Monday."""
    return Event(
        type=event_type, payload=payload, metadata={"by": by}, occurred_at=MONDAY + timedelta(minutes=60 * hour)
    )


def about(**field: Any) -> Filter:
    """A filter for events in which any of these fields has the given value."""
    first, *others = (P(key, value) for key, value in field.items())
    return Filter.matching().any_predicate_of(first, *others)


def numbers(events: Iterable[RecordedEvent]) -> list[int]:
    return [event.sequence_number for event in events]


async def collected(found: AsyncIterable[Found]) -> list[Found]:
    return [one async for one in found]


async def matching(store: EventStore, boundary: Filter) -> list[int]:
    """The numbers of the events that a query finds."""
    return numbers((await store.query(boundary)).events)


async def log(store: EventStore) -> list[RecordedEvent]:
    return list((await store.query(ANY)).events)


async def positions(store: EventStore) -> list[Position]:
    """The start, and the position at each event of the log."""
    return [Position(number=0, token=0), *(event.position for event in await log(store))]
