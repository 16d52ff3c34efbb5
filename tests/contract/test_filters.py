"""Each kind of filter on one small log: what a query finds is what an append would have to know of."""

from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest

from eventstore import ConcurrencyConflict, Event, EventStore, Filter, P, Position
from tests.support.facts import ANY, MONDAY, about, collected, fact, matching, numbers, positions

HOUR = timedelta(hours=1)
LOG = [
    fact("Lent", hour=9, Book="b", Reader="r"),
    fact("Lent", hour=10, Book="c", Reader="r"),
    fact("Returned", hour=11, Book="b", Reader="r"),
    fact("Registered", hour=12, Reader="r"),
    fact("Registered", hour=12, Reader="s"),
    # These hold a value that looks like the one in question, and does not equal it.
    fact("Lent", hour=13, Book=["b"], Reader={"Reader": "r"}),
    fact("Noted", hour=14, Note={"Book": "b"}),
    fact("Lent", hour=8, Book="b", Reader=None),
]
b, c, r = P("Book", "b"), P("Book", "c"), P("Reader", "r")
match = Filter.matching
CASES: dict[str, tuple[Filter, list[int]]] = {
    "any event": (ANY, [1, 2, 3, 4, 5, 6, 7, 8]),
    "one type": (match().any_event_type_of("Lent"), [1, 2, 6, 8]),
    "two types": (match().any_event_type_of("Returned", "Registered"), [3, 4, 5]),
    "no such type": (match().any_event_type_of("Len"), []),
    "one predicate": (match().any_predicate_of(b), [1, 3, 8]),
    "any of two predicates": (match().any_predicate_of(b, P("Reader", "s")), [1, 3, 5, 8]),
    "any of two values of a field": (match().any_predicate_of(b, c), [1, 2, 3, 8]),
    "all of two predicates": (match().all_predicates_of(b, r), [1, 3]),
    "all of one predicate": (match().all_predicates_of(c), [2]),
    "all, for two values of a field": (match().all_predicates_of(b, c), []),
    "all, for two values of a field and another": (match().all_predicates_of(b, r, c), []),
    "a field that nobody has": (match().any_predicate_of(P("Shelf", "b")), []),
    "a type and a predicate": (match().any_event_type_of("Lent").and_any_predicate_of(b), [1, 8]),
    "types and any predicate": (match().any_event_type_of("Lent", "Noted").and_any_predicate_of(b, c), [1, 2, 8]),
    "a type and all predicates": (match().any_event_type_of("Returned").and_all_predicates_of(b, r), [3]),
    "all predicates and a type": (match().all_predicates_of(b, r).and_any_event_type_of("Lent"), [1]),
    "a type, and two values of a field": (match().any_event_type_of("Lent").and_all_predicates_of(b, c), []),
    "or: types": (match().any_event_type_of("Noted").or_matching().any_event_type_of("Returned"), [3, 7]),
    "or: a type, another's predicate": (match().any_event_type_of("Noted").or_matching().any_predicate_of(c), [2, 7]),
    "or: overlapping": (match().any_predicate_of(b).or_matching().all_predicates_of(b, r), [1, 3, 8]),
    "or: each its own conditions": (
        match()
        .any_event_type_of("Registered")
        .and_any_predicate_of(r)
        .or_matching()
        .any_event_type_of("Lent")
        .and_any_predicate_of(c)
        .or_matching()
        .all_predicates_of(b, c),
        [2, 4],
    ),
    "from": (ANY.occurred_from(MONDAY + 12 * HOUR), [4, 5, 6, 7]),
    "until": (ANY.occurred_until(MONDAY + 10 * HOUR), [1, 2, 8]),
    "from and until": (ANY.occurred_from(MONDAY + 10 * HOUR).and_occurred_until(MONDAY + 12 * HOUR), [2, 3, 4, 5]),
    "just before": (ANY.occurred_until(MONDAY + 8 * HOUR - timedelta(microseconds=1)), []),
    "at the moment": (ANY.occurred_from(MONDAY + 8 * HOUR).and_occurred_until(MONDAY + 8 * HOUR), [8]),
    "a predicate, from": (match().any_predicate_of(b).occurred_from(MONDAY + 9 * HOUR), [1, 3]),
    "a type, until": (match().any_event_type_of("Lent").occurred_until(MONDAY + 9 * HOUR), [1, 8]),
    "or, from and until": (
        match()
        .any_predicate_of(c)
        .or_matching()
        .any_event_type_of("Registered", "Returned")
        .occurred_from(MONDAY + 11 * HOUR)
        .and_occurred_until(MONDAY + 11 * HOUR),
        [3],
    ),
    "above": (ANY.sequence_number_higher_than(6), [7, 8]),
    "above none": (ANY.sequence_number_higher_than(0), [1, 2, 3, 4, 5, 6, 7, 8]),
    "above all": (ANY.sequence_number_higher_than(8), []),
    "above anything possible": (match().any_event_type_of("Lent").sequence_number_higher_than(2**63 - 1), []),
    "a predicate, above": (match().any_predicate_of(b).sequence_number_higher_than(1), [3, 8]),
    "or, above": (
        match().all_predicates_of(b, r).or_matching().any_event_type_of("Lent").sequence_number_higher_than(2),
        [3, 6, 8],
    ),
}


async def test_a_query_finds_what_its_filter_names(store: EventStore) -> None:
    await store.append(LOG)
    found = {name: await matching(store, boundary) for name, (boundary, _) in CASES.items()}
    assert found == {name: expected for name, (_, expected) in CASES.items()}


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
async def test_a_long_read_finds_the_same(store: EventStore, batch_size: int) -> None:
    await store.append(LOG)
    found = {
        name: numbers(await collected(store.read(boundary, batch_size=batch_size)))
        for name, (boundary, _) in CASES.items()
    }
    assert found == {name: expected for name, (_, expected) in CASES.items()}


async def test_an_append_is_guarded_against_the_same(store: EventStore) -> None:
    await store.append(LOG)
    places = await positions(store)
    conflicts = {
        name: [await conflict(store, boundary, position) for position in places]
        for name, (boundary, _) in CASES.items()
    }
    assert conflicts == {
        name: [next((number for number in expected if number > position.number), None) for position in places]
        for name, (_, expected) in CASES.items()
    }


async def conflict(store: EventStore, boundary: Filter, after: Position) -> int | None:
    """The number of the event that refuses an append, None when nothing does."""
    try:
        await store.append([], boundary=boundary, after=after)
    except ConcurrencyConflict as error:
        return error.sequence_number
    return None


async def test_however_many_conditions_a_filter_has(store: EventStore) -> None:
    await store.append(LOG)
    many = [P("Book", f"no such book {number}") for number in range(300)]
    boundary = match().any_predicate_of(c, *many)
    for number in range(50):
        boundary = boundary.or_matching().any_predicate_of(P("Shelf", number))
    assert await matching(store, boundary) == [2]
    with pytest.raises(ConcurrencyConflict):
        await store.append([], boundary=boundary)
    assert await matching(store, match().all_predicates_of(b, *(P(f"{n}", n) for n in range(300)))) == []


async def test_a_field_named_like_another_with_its_value_is_no_match(store: EventStore) -> None:
    odd = 'Book": "b", "x'
    payloads: list[dict[str, Any]] = [{odd: 1}, {"Book.x": "b"}, {"Book": {"x": "b"}}]
    await store.append([Event(type="Lent", payload=payload) for payload in payloads])
    assert await matching(store, about(Book="b")) == []
    assert await matching(store, match().any_predicate_of(P("Book.x", "b"))) == [2]
    assert await matching(store, match().any_predicate_of(P(odd, 1))) == [1]


FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


async def test_bounds_hold_up_to_the_ends_of_the_calendar(store: EventStore) -> None:
    # No event occurs at the ends themselves.
    moments = [FIRST + INSTANT, datetime(99, 12, 31, tzinfo=UTC), MONDAY, LAST - INSTANT]
    await store.append([Event(type="Lent", payload={"Book": "b"}, occurred_at=moment) for moment in moments])
    places = await positions(store)
    bounds = [FIRST, *moments, LAST]
    filters: list[Filter] = [match().any_predicate_of(b).occurred_from(since) for since in bounds]
    filters += [match().any_predicate_of(b).occurred_until(until) for until in bounds]
    filters += [ANY.occurred_from(since).and_occurred_until(until) for since, until in combinations(bounds, 2)]
    for boundary in filters:
        inside = [
            number
            for number, moment in enumerate(moments, start=1)
            if (boundary.since or FIRST) <= moment <= (boundary.until or LAST)
        ]
        assert await matching(store, boundary) == inside
        for place in places:
            (above,) = await store.query_many([boundary], after=[place])
            assert numbers(above.events) == [number for number in inside if number > place.number]
            first = above.events[0].sequence_number if above.events else None
            assert await conflict(store, boundary, place) == first
