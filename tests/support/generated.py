"""Generated queries and events: few types, fields and values, so that they match."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from msgspec.structs import replace

from eventstore import (
    BoundaryPart,
    Event,
    Filter,
    FilterItem,
    Outcome,
    OutcomeKind,
    OwnRange,
    P,
    Position,
    Predicate,
    Scalar,
)
from tests.support.facts import ANY, MONDAY

TYPES = ("A", "B", 'C"\\')
FIELDS = ("x", "y")
SCALARS: tuple[Scalar, ...] = (1, "1", True, Decimal("1.0"), Decimal("0.5"), "' OR 1=1 --")
MOST_EVENTS = 12

types = st.sampled_from(TYPES)
scalars: st.SearchStrategy[Scalar] = st.sampled_from(SCALARS)
moments = st.integers(0, 3).map(lambda hours: MONDAY + timedelta(hours=hours))
keys = st.integers(1, 3).map(lambda number: UUID(int=number))
# Without the empty scope: its receipts also answer in other scopes, which the memory engine sees earlier than a batch.
scopes = st.sampled_from(("one", "one", "other"))

payloads: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(FIELDS), scalars | st.sampled_from((None, [1], {"x": 1}))
)
facts = st.builds(Event, type=types, payload=payloads, metadata=st.just({"by": "test"}), occurred_at=moments)


def _item(event_types: list[str], predicates: list[Predicate], needs_all: bool) -> FilterItem:  # noqa: FBT001  Hypothesis draws it
    match (event_types, predicates, needs_all):
        case ([_, *_], [], _):
            complete: Filter = Filter.matching().any_event_type_of(*event_types)
        case (_, [_, *_], True):
            narrowed = Filter.matching().all_predicates_of(*predicates)
            complete = narrowed.and_any_event_type_of(*event_types) if event_types else narrowed
        case (_, [_, *_], False):
            narrowed = Filter.matching().any_predicate_of(*predicates)
            complete = narrowed.and_any_event_type_of(*event_types) if event_types else narrowed
        case _:
            complete = ANY
    return complete.items[0]


_predicates = st.builds(P, st.sampled_from(FIELDS), scalars)
_items = st.builds(_item, st.lists(types, max_size=2), st.lists(_predicates, max_size=3), st.booleans())
_bounds: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries({}, optional={"since": moments, "until": moments}),
    st.fixed_dictionaries({"above": st.integers(0, MOST_EVENTS)}),
)
filters = st.builds(
    lambda items, bounds: Filter(tuple(items), **bounds), st.lists(_items, min_size=1, max_size=3), _bounds
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One call of ``query_many`` that can be made on any store.

    Attributes:
        filters: The filters, each with the distance of its position below the head; None for the start.
        most: The largest number of events wanted of one filter, or None.
        elsewhere: Index of the position that gets another history's token; without effect if there are fewer positions.
    """

    filters: list[tuple[Filter, int | None]]
    most: int | None
    elsewhere: int

    def arguments(self, places: Sequence[Position]) -> dict[str, Any]:
        """The arguments, for a store with these positions, the start first."""
        after = [places[0] if lag is None else places[max(0, len(places) - 1 - lag)] for _, lag in self.filters]
        if self.elsewhere < len(after):
            after[self.elsewhere] = replace(after[self.elsewhere], token=after[self.elsewhere].token ^ 1)
        return {"filters": [each for each, _ in self.filters], "after": after, "most": self.most}


questions = st.builds(
    Question,
    filters=st.lists(st.tuples(filters, st.none() | st.integers(0, 9)), max_size=5),
    most=st.none() | st.integers(0, 3),
    elsewhere=st.sampled_from((9,) * 9 + (0, 1)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A position that can be formed on any store.

    Attributes:
        lag: Its distance below the head; negative above it.
        elsewhere: Whether its token is another history's.
    """

    lag: int
    elsewhere: bool

    def position(self, places: Sequence[Position]) -> Position:
        """The position in a store with these positions, the start first."""
        head = places[-1]
        place = replace(head, number=head.number - self.lag) if self.lag < 0 else places[max(0, head.number - self.lag)]
        return replace(place, token=place.token ^ 1) if self.elsewhere else place


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedPart:
    """One part of a boundary.

    Attributes:
        filter: The events that would be a conflict.
        after: The position up to which it was read.
        besides: The end and length of each own range above that.
    """

    filter: Filter
    after: Place
    besides: list[tuple[Place, int]]

    def part(self, places: Sequence[Position]) -> BoundaryPart:
        """The part, for a store with these positions."""
        ranges = [(end.position(places), length) for end, length in self.besides]
        besides = [OwnRange(first=max(1, end.number - length), last=end) for end, length in ranges if end.number > 0]
        return BoundaryPart(filter=self.filter, after=self.after.position(places), besides=tuple(besides))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One append that can be made on any store.

    Attributes:
        events: The events to record.
        boundary: A filter, parts, or None.
        after: The position up to which a filter was read, or None.
        key: Its idempotency key, or None.
        digest: Its digest, or None.
        outcome: The outcome that its receipt states.
    """

    events: list[Event]
    boundary: Filter | list[AskedPart] | None
    after: Place | None
    key: UUID | None
    scope: str
    digest: bytes | None
    outcome: Outcome

    def arguments(self, places: Sequence[Position]) -> dict[str, Any]:
        """The arguments of ``append``, for a store with these positions, the start first."""
        return {
            "boundary": [each.part(places) for each in self.boundary]
            if isinstance(self.boundary, list)
            else self.boundary,
            "after": self.after.position(places) if isinstance(self.boundary, Filter) and self.after else None,
            "key": self.key,
            "scope": self.scope,
            "digest": self.digest,
            "outcome": self.outcome,
        }


_elsewhere = st.sampled_from((False,) * 9 + (True,))
_near = st.builds(Place, lag=st.sampled_from((0, 0, 1, 2, 5)), elsewhere=_elsewhere)
_anywhere = st.builds(Place, lag=st.sampled_from((0, 1, 2, 3, 5, -1)), elsewhere=_elsewhere)
_ends = st.builds(Place, lag=st.sampled_from((0, 0, 1, 2, 3, 5)), elsewhere=_elsewhere)
_parts = st.lists(
    st.builds(
        AskedPart,
        filter=filters,
        after=_anywhere,
        besides=st.lists(st.tuples(_ends, st.integers(0, 3)), max_size=2),
    ),
    min_size=1,
    max_size=3,
)

_told: dict[str, st.SearchStrategy[Any]] = {
    "events": st.lists(facts, max_size=3),
    "key": st.none() | keys,
    "scope": scopes,
    "digest": st.none() | st.sampled_from((b"one", b"other")),
    "outcome": st.builds(Outcome, kind=st.sampled_from(OutcomeKind), reason=st.sampled_from((None, "no"))),
}
asks = st.builds(Ask, boundary=filters | _parts, after=st.none() | _anywhere, **_told)
unconditional_asks = st.builds(Ask, boundary=st.none(), after=st.none(), **_told)

_chained = {**_told, "key": st.integers(1, 6).map(lambda number: UUID(int=number))}
chain_asks = st.lists(
    st.builds(Ask, boundary=st.none() | filters | _parts, after=_near, **_chained), min_size=1, max_size=4
)
