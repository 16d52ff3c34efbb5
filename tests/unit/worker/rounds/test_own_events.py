"""Own events are found by every filter, in any order of filters and events."""

from collections.abc import Iterator
from itertools import count

import pytest

from eventstore import Event, Filter, OwnRange, P, Position
from handlers import DomainEvent
from worker.rounds.own_events import OwnEvent, OwnEvents


class Noted(DomainEvent):
    """An event of any kind."""


@pytest.fixture
def numbers() -> Iterator[int]:
    return count(1)


def added(own: OwnEvents, number: int, size: int = 0, **payload: object) -> int:
    event = OwnEvent(Event(type="Noted", payload=payload).recorded(number, 0), Noted(), size)
    event.range = OwnRange(first=number, last=Position(number=number, token=0))
    own.add([event])
    return own.last


def found(own: OwnEvents, events: Filter, after: int = 0) -> list[int]:
    return [each.ordinal for each in own.matching(own.search(events), after=after, up_to=own.last)]


def test_the_first_filter_by_a_field_finds_earlier_events(numbers: Iterator[int]) -> None:
    own = OwnEvents()
    first = added(own, next(numbers), book="a", reader="x")
    added(own, next(numbers), book="b", reader="x")
    assert found(own, Filter.matching().any_predicate_of(P("book", "a"))) == [first]
    third = added(own, next(numbers), book="a", reader="y")
    assert found(own, Filter.matching().any_predicate_of(P("book", "a"))) == [first, third]
    assert found(own, Filter.matching().any_predicate_of(P("reader", "x"), P("reader", "y"))) == [1, 2, 3]
    assert found(own, Filter.matching().all_predicates_of(P("reader", "x"), P("book", "b"))) == [2]
    assert found(own, Filter.matching().any_event_type_of("Other")) == []


def test_removed_events_are_found_by_no_field(numbers: Iterator[int]) -> None:
    own = OwnEvents(most_recorded=1)
    for _ in range(3):
        added(own, next(numbers), book="a")
    assert found(own, Filter.matching().any_predicate_of(P("book", "a"))) == [1, 2, 3]
    added(own, next(numbers), book="a")
    own.settle(4)
    own.trim()
    assert found(own, Filter.matching().any_predicate_of(P("book", "a")), after=own.gone) == [4]
    assert found(own, Filter.matching_any_event(), after=own.gone) == [4]


def test_large_events_are_forgotten_once_they_are_settled(numbers: Iterator[int]) -> None:
    own = OwnEvents(most_bytes=10)
    for _ in range(4):
        added(own, next(numbers), size=4)
    own.settle(3)
    own.trim()
    assert (own.gone, found(own, Filter.matching_any_event(), after=own.gone)) == (2, [3, 4])
    added(own, next(numbers), size=40)
    own.trim()
    # What is not settled stays.
    assert found(own, Filter.matching_any_event(), after=own.gone) == [4, 5]


def test_a_view_with_field_names_from_its_key_finds_its_events(numbers: Iterator[int]) -> None:
    own = OwnEvents()
    ordinals = [added(own, next(numbers), **{f"field{each}": each}) for each in range(100)]
    for each, ordinal in enumerate(ordinals):
        assert found(own, Filter.matching().any_predicate_of(P(f"field{each}", each))) == [ordinal]
    assert len(own._fields) < 100


def test_values_of_different_types_differ(numbers: Iterator[int]) -> None:
    own = OwnEvents()
    for value in (1, "1", True):
        added(own, next(numbers), value=value)
    assert [found(own, Filter.matching().any_predicate_of(P("value", value))) for value in (1, "1", True)] == [
        [1],
        [2],
        [3],
    ]
