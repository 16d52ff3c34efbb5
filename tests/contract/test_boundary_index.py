"""The index of filters finds what asking each of them would find."""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from eventstore import Event, Filter, FilterItem, P, RecordedEvent
from eventstore.boundary_index import BoundaryIndex
from tests.support import generated
from tests.support.facts import MONDAY

recorded = st.builds(lambda event, number: event.recorded(number, 1), generated.facts, st.integers(1, 15))


@given(st.lists(generated.filters, max_size=8), recorded)
def test_of_a_recorded_event_it_finds_what_the_filters_match(filters: list[Filter], event: RecordedEvent) -> None:
    expected = [index for index, each in enumerate(filters) if each.holds(event)]
    assert list(BoundaryIndex(filters).matching(event)) == expected


@given(st.lists(generated.filters, max_size=8), generated.facts)
def test_of_a_pending_event_it_finds_what_will_match(filters: list[Filter], event: Event) -> None:
    expected = [index for index, each in enumerate(filters) if each.holds_pending(event)]
    assert list(BoundaryIndex(filters).matching(event)) == expected


_keys = st.sampled_from(["a", 'b"', "c\\", "ä", ""])
_values = st.sampled_from(["red", 're"d', "re\\d", "rot ä", "", "re", 1, Decimal("1.0"), True])
_looked_for = st.builds(
    lambda key, value, types: (
        Filter.matching().any_event_type_of("A").and_any_predicate_of(P(key or "k", value))
        if types
        else Filter.matching().any_predicate_of(P(key or "k", value))
    ),
    _keys,
    _values,
    st.booleans(),
)
_pending = st.builds(
    lambda name, payload: Event(type=name, payload=payload, occurred_at=MONDAY),
    st.sampled_from(["A", "B"]),
    st.dictionaries(_keys.map(lambda key: key or "k"), st.one_of(_values, st.lists(_values, max_size=1)), max_size=3),
)


@given(
    st.lists(st.one_of(_looked_for, generated.filters), max_size=6),
    st.lists(st.one_of(_pending, generated.facts), max_size=20),
)
def test_of_many_events_it_finds_what_each_of_them_lies_in(filters: list[Filter], events: list[Event]) -> None:
    index = BoundaryIndex(filters)
    expected = {place for event in events for place in index.matching(event)}
    assert list(index.matching_any(events)) == sorted(expected)


@given(st.lists(_looked_for, max_size=6), st.lists(_pending, min_size=8, max_size=20))
def test_of_many_events_with_texts_it_finds_the_same(filters: list[Filter], events: list[Event]) -> None:
    index = BoundaryIndex(filters)
    expected = {place for event in events for place in index.matching(event)}
    assert list(index.matching_any(events)) == sorted(expected)


def test_json_that_was_written_elsewhere_is_found_among_many() -> None:
    """As JSON may be written: with another escape, and with spaces."""
    index = BoundaryIndex([Filter.matching().any_predicate_of(P("x", "red"))])
    for text in (rb'"\u0072ed"', b' "red" '):
        written = Event(type="A", payload={"x": Raw(text)}, occurred_at=MONDAY)
        plain = [Event(type="A", payload={"x": "blue"}, occurred_at=MONDAY) for _ in range(10)]
        assert list(index.matching_any([*plain, written])) == [0]
        assert list(index.matching_any(plain)) == []


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (1, [0]),
        (1.0, [0]),
        (Decimal("1.0"), [0]),
        (True, [1]),
        ("1", [2]),
        ("red", [3]),
        (Colour.RED, [3]),
        (None, []),
        ([1], []),
        ({"x": 1}, []),
    ],
)
def test_values_are_told_apart_as_json_tells_them(value: object, found: Sequence[int]) -> None:
    filters = [Filter.matching().any_predicate_of(P("x", looked_for)) for looked_for in (1, True, "1", "red")]
    assert list(BoundaryIndex(filters).matching(Event(type="A", payload={"x": value}))) == found


def test_alternatives_of_one_filter_do_not_add_up() -> None:
    item = FilterItem(event_types=(), predicates=(P("x", 1), P("y", 1)), all_predicates=True)
    other = FilterItem(event_types=(), predicates=(P("x", 2), P("y", 2)), all_predicates=True)
    index = BoundaryIndex([Filter((item, other))])
    assert list(index.matching(Event(type="A", payload={"x": 1, "y": 2}))) == []
    assert list(index.matching(Event(type="A", payload={"x": 2, "y": 2}))) == [0]


def test_what_is_no_object_matches_nothing_and_says_so() -> None:
    event = Event(type="A", payload={}, occurred_at=MONDAY)
    object.__setattr__(event, "payload_text", "[]")
    with pytest.raises(ValueError, match="no JSON object"):
        BoundaryIndex([]).matching(event)
