"""The events and boundaries that these tests speak of: counts of a key."""

from typing import Any
from uuid import UUID

from eventstore import (
    ACCEPTED,
    Append,
    Boundary,
    Event,
    EventStore,
    EventStream,
    Filter,
    Outcome,
    P,
    Position,
    RetryableError,
)

ANY = Filter.matching_any_event()


def counted(key: str, **payload: Any) -> Event:
    return Event(type="Counted", payload={"Key": key} | payload)


def of(first: str, *others: str) -> Filter:
    """The boundary of all that any of these keys was counted for."""
    return Filter.matching().any_predicate_of(P("Key", first), *(P("Key", other) for other in others))


def request(
    *events: Event,
    boundary: Boundary | None = None,
    after: Position | None = None,
    key: UUID | None = None,
    digest: bytes | None = None,
    outcome: Outcome = ACCEPTED,
) -> Append:
    return Append(events=events, boundary=boundary, after=after, key=key, digest=digest, outcome=outcome)


def numbers(stream: EventStream) -> list[int]:
    return [event.sequence_number for event in stream.events]


def keys(stream: EventStream) -> list[str]:
    return [event.payload["Key"] for event in stream.events]


async def appends(store: EventStore, key: str) -> bool:
    """Append an event, if the store can do that now."""
    try:
        await store.append([counted(key)])
    except RetryableError:
        return False
    return True
