"""Many filters, one snapshot: each is answered as if it had been asked alone at that moment."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from eventstore import (
    START,
    Consistency,
    EventStore,
    EventStream,
    Filter,
    HistoryDiverged,
    InvalidRequest,
    P,
    Position,
    PositionNotReached,
)
from tests.support.facts import ANY, MONDAY, about, fact, log, numbers, positions

BOOK = Filter.matching().any_predicate_of(P("Book", "b"))


def found(streams: list[EventStream]) -> list[list[int]]:
    return [numbers(stream.events) for stream in streams]


async def test_each_filter_gets_its_own_events_in_order_and_all_one_position(store: EventStore) -> None:
    await store.append([fact("Lent", Book="b"), fact("Lent", Book="c"), fact("Returned", Book="b")])
    head = (await store.append([fact("Lent", Book="b", Reader="r")])).position
    lent = Filter.matching().any_event_type_of("Lent")
    streams = await store.query_many([about(Book="b"), lent, about(Book="nobody's"), about(Reader="r"), ANY])
    assert found(streams) == [[1, 3, 4], [1, 2, 4], [], [4], [1, 2, 3, 4]]
    assert {stream.position for stream in streams} == {head}
    assert all(stream.complete for stream in streams)
    assert list(streams[4].events) == await log(store)


async def test_no_filters_at_all_are_answered_without_asking(store: EventStore) -> None:
    for beyond in (None, Position(number=7, token=7)):
        assert await store.query_many([], min_position=beyond) == []
        assert await store.query_many([], after=[], most=0, min_position=beyond) == []


async def test_an_empty_store_answers_each_from_the_start(store: EventStore) -> None:
    streams = await store.query_many([ANY, about(Book="b"), about(Book="b").narrowed_above(5)], after=[START] * 3)
    assert streams == [EventStream(events=(), position=START)] * 3


async def test_a_filter_that_is_named_twice_is_answered_twice(store: EventStore) -> None:
    first = (await store.append([fact(Book="b")])).position
    await store.append([fact(Book="b")])
    streams = await store.query_many([about(Book="b")] * 3, after=[START, first, START])
    assert found(streams) == [[1, 2], [2], [1, 2]]


async def test_each_filter_is_read_above_its_own_position(store: EventStore) -> None:
    await store.append([fact(Book="bc"[number % 2]) for number in range(10)])
    after = await positions(store)
    filters = [about(Book="b"), about(Book="c"), Filter.matching().any_event_type_of("Lent"), ANY, about(Book="b")]
    for consistency in Consistency:
        streams = await store.query_many(
            filters, after=[after[4], after[0], after[8], after[9], after[10]], consistency=consistency
        )
        assert found(streams) == [[5, 7, 9], [2, 4, 6, 8, 10], [9, 10], [10], []]
        assert {stream.position for stream in streams} == {after[10]}


async def test_the_higher_of_position_and_bound_holds(store: EventStore) -> None:
    await store.append([fact(Book="b") for _ in range(6)])
    after = await positions(store)
    bounded = BOOK.sequence_number_higher_than(4)
    streams = await store.query_many([bounded, bounded, about(Book="b")], after=[after[2], after[5], after[2]])
    assert found(streams) == [[5, 6], [6], [3, 4, 5, 6]]
    # A bound beyond the head is a question like any other.
    beyond = BOOK.sequence_number_higher_than(900)
    assert found(await store.query_many([beyond, about(Book="b")])) == [[], [1, 2, 3, 4, 5, 6]]


async def test_each_filter_has_its_own_bounds_in_time(store: EventStore) -> None:
    await store.append([fact(Book="b", hour=hour) for hour in range(5)])
    early = BOOK.occurred_until(MONDAY + timedelta(hours=1))
    late = BOOK.occurred_from(MONDAY + timedelta(hours=3))
    between = (
        Filter.matching_any_event()
        .occurred_from(MONDAY + timedelta(hours=2))
        .and_occurred_until(MONDAY + timedelta(hours=3))
    )
    after = (await positions(store))[1]
    assert found(await store.query_many([early, late, between])) == [[1, 2], [4, 5], [3, 4]]
    assert found(await store.query_many([early, late, between], after=[after, START, after])) == [[2], [4, 5], [3, 4]]


async def test_a_stream_of_more_than_were_wanted_comes_without_them(store: EventStore) -> None:
    after = (await store.append([fact(Book="b") for _ in range(4)])).position
    head = (await store.append([fact(Book="c"), fact(Book="b"), fact(Book="b", Reader="r")])).position
    filters = [about(Book="b"), about(Book="c"), about(Book="b"), about(Book="c", Reader="r"), ANY]
    for most, expected in (
        (0, [None, None, None, None, None]),
        (1, [None, [5], None, None, None]),
        (2, [None, [5], [6, 7], [5, 7], None]),
        (6, [[1, 2, 3, 4, 6, 7], [5], [6, 7], [5, 7], None]),
        (7, [[1, 2, 3, 4, 6, 7], [5], [6, 7], [5, 7], [1, 2, 3, 4, 5, 6, 7]]),
        (5000, [[1, 2, 3, 4, 6, 7], [5], [6, 7], [5, 7], [1, 2, 3, 4, 5, 6, 7]]),
    ):
        streams = await store.query_many(filters, after=[START, START, after, START, START], most=most)
        assert [numbers(stream.events) if stream.complete else None for stream in streams] == expected
        assert {stream.position for stream in streams} == {head}
        assert all(stream.events == () for stream in streams if not stream.complete)


async def test_events_that_several_alternatives_find_count_once(store: EventStore) -> None:
    await store.append([fact(Book="b", Reader="r") for _ in range(3)])
    either = about(Book="b", Reader="r")
    assert found(await store.query_many([either, about(Book="b")], most=3)) == [[1, 2, 3]] * 2


async def test_more_events_than_travel_together_are_all_found_if_all_are_wanted(store: EventStore) -> None:
    for _ in range(3):
        await store.append([fact(Book="long")] * 700)
    near = (await positions(store))[2090]
    await store.append([fact(Book="b")])
    filters = [about(Book="long"), about(Book="b"), about(Book="long")]
    for most in (None, 2100, 4000):
        streams = await store.query_many(filters, after=[START, START, near], most=most)
        assert found(streams) == [list(range(1, 2101)), [2101], list(range(2091, 2101))]
        assert {stream.position.number for stream in streams} == {2101}
    for most in (1000, 1500, 2099):
        streams = await store.query_many(filters, after=[START, START, near], most=most)
        assert [stream.complete for stream in streams] == [False, True, True]


async def test_each_distinct_position_must_lie_in_the_history(store: EventStore) -> None:
    for _ in range(4):
        await store.append([fact(Book="b"), fact(Book="c")])
    places = await positions(store)
    for place in places[1:]:
        other = replace(place, token=place.token ^ 1)
        for after in ([other, places[8]], [places[8], other], [START, other], [other, other]):
            with pytest.raises(HistoryDiverged, match=f"{other} is not in"):
                await store.query_many([about(Book="b"), about(Book="nobody's")], after=after)
            with pytest.raises(HistoryDiverged, match=f"{other} is not in"):
                await store.query_many([ANY, ANY], after=after, most=0)
        with pytest.raises(HistoryDiverged):
            await store.query_many([about(Book="b")], after=[places[8]], min_position=other)
    with pytest.raises(HistoryDiverged):
        await store.query_many([about(Book="b")], after=[Position(number=0, token=3)])
    assert len(await store.query_many([ANY] * 9, after=places)) == 9


async def test_a_position_beyond_the_log_is_not_reached(store: EventStore) -> None:
    head = (await store.append([fact(Book="b")])).position
    beyond = replace(head, number=2)
    for consistency in Consistency:
        for after in ([beyond, head], [START, beyond]):
            with pytest.raises(PositionNotReached):
                await store.query_many([about(Book="b"), ANY], after=after, consistency=consistency)
        with pytest.raises(PositionNotReached):
            await store.query_many([about(Book="b")], min_position=beyond, consistency=consistency)


async def test_arguments_that_do_not_fit_together_are_refused(store: EventStore) -> None:
    for after in ([], [START], [START] * 3):
        with pytest.raises(InvalidRequest, match="2 filters, "):
            await store.query_many([ANY, ANY], after=after)
    with pytest.raises(InvalidRequest, match="1 positions"):
        await store.query_many([], after=[START])
    with pytest.raises(InvalidRequest, match="0 or more"):
        await store.query_many([ANY], most=-1)
    position: Any = "1:2"
    with pytest.raises(InvalidRequest, match=r"min_position is a Position, not .* str: Position\.parse\(text\) makes"):
        await store.query_many([ANY], min_position=position)


async def test_a_query_is_the_one_stream_of_its_filter(store: EventStore) -> None:
    await store.append([fact(Book="b"), fact(Book="c")])
    for boundary in (about(Book="b"), ANY, about(Book="b").narrowed_above(1)):
        assert [await store.query(boundary)] == await store.query_many([boundary])


async def test_many_callers_and_filters_at_once_get_each_their_own(store: EventStore) -> None:
    await store.append([fact(Book=f"b{number % 50}") for number in range(150)])
    after = (await positions(store))[100]

    async def asked(first: int) -> None:
        filters = [about(Book=f"b{(first + step) % 50}") for step in range(40)]
        streams = await store.query_many(filters, after=[after if step % 2 else START for step in range(40)])
        for step, stream in enumerate(streams):
            own = (first + step) % 50 + 1
            assert numbers(stream.events) == ([own + 100] if step % 2 else [own, own + 50, own + 100])

    await asyncio.gather(*(asked(first) for first in range(30)))


async def test_values_that_no_event_can_have_match_nothing(store: EventStore) -> None:
    await store.append([fact(Book="b")])
    impossible = Filter.matching().all_predicates_of(P("Book", "b"), P("Book", "c"))
    assert found(await store.query_many([impossible, about(Book="b"), impossible.narrowed_above(1)])) == [[], [1], []]
    assert found(await store.query_many([impossible], most=0)) == [[]]
