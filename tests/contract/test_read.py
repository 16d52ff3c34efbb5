from datetime import timedelta

import pytest

from eventstore import (
    START,
    Consistency,
    EventStore,
    Filter,
    HistoryDiverged,
    InvalidRequest,
    P,
    Position,
    PositionNotReached,
)
from tests.support.facts import ANY, MONDAY, about, collected, fact, log, numbers, positions


@pytest.mark.parametrize("consistency", Consistency)
async def test_everything_is_read_once_in_order(store: EventStore, consistency: Consistency) -> None:
    await store.append([fact(n=n) for n in range(20)])
    for batch_size in (1, 2, 5, 20, 21, 1000):
        read = await collected(store.read(ANY, batch_size=batch_size, consistency=consistency))
        assert read == await log(store)
        assert numbers(read) == list(range(1, 21))


async def test_few_matches_among_many_events_are_all_found(store: EventStore) -> None:
    rare = {1, 2, 150, 151, 152, 299}
    await store.append([fact(Book="b" if number in rare else "c") for number in range(1, 301)])
    never = Filter.matching().any_event_type_of("Returned").or_matching().any_event_type_of("Noted")
    for batch_size in (1, 3, 1000):
        assert numbers(await collected(store.read(about(Book="b"), batch_size=batch_size))) == sorted(rare)
        assert await collected(store.read(never, batch_size=batch_size)) == []


async def test_reading_begins_above_a_position(store: EventStore) -> None:
    await store.append([fact(Book="b") for _ in range(5)])
    for position in await positions(store):
        for batch_size in (1, 2, 1000):
            read = await collected(store.read(about(Book="b"), after=position, batch_size=batch_size))
            assert numbers(read) == list(range(position.number + 1, 6))


async def test_the_filters_own_bound_holds_as_well(store: EventStore) -> None:
    await store.append([fact(Book="b") for _ in range(6)])
    after = (await positions(store))[2]
    for above, first in ((1, 3), (2, 3), (4, 5), (6, 7), (9, 7)):
        for batch_size in (1, 1000):
            boundary = about(Book="b").narrowed_above(above)
            read = await collected(store.read(boundary, after=after, batch_size=batch_size))
            assert numbers(read) == list(range(first, 7))


@pytest.mark.parametrize("batch_size", [1, 1000])
async def test_reading_ends_at_the_head_that_it_began_with(store: EventStore, batch_size: int) -> None:
    await store.append([fact(), fact(), fact()])
    reading = store.read(ANY, batch_size=batch_size)
    read = [await anext(reading)]
    await store.append([fact()])
    read += [event async for event in reading]
    assert numbers(read) == [1, 2, 3]


@pytest.mark.parametrize("consistency", Consistency)
async def test_reading_goes_at_least_as_far_as_a_position(store: EventStore, consistency: Consistency) -> None:
    await store.append([fact(Book="b") for _ in range(20)])
    seen = await positions(store)
    for batch_size in (1, 1000):
        for boundary in (ANY, about(Book="b"), about(Book="c")):
            matching = (await store.query(boundary)).events
            for least in seen:
                reading = store.read(
                    boundary, min_position=least, up_to=least.number, batch_size=batch_size, consistency=consistency
                )
                assert numbers(await collected(reading)) == numbers(matching)[: least.number]
                reading = store.read(boundary, min_position=least, batch_size=batch_size, consistency=consistency)
                assert await collected(reading) == list(matching)


@pytest.mark.parametrize("consistency", Consistency)
async def test_reading_at_a_position_that_the_log_lacks_is_an_error(
    store: EventStore, consistency: Consistency
) -> None:
    head = (await store.append([fact(Book="b") for _ in range(20)])).position
    beyond = Position(number=21, token=head.token)
    other = Position(number=20, token=head.token + 1)
    nowhere = Position(number=0, token=1)
    for least, error in ((beyond, PositionNotReached), (other, HistoryDiverged), (nowhere, HistoryDiverged)):
        for batch_size in (1, 1000):
            for boundary in (ANY, about(Book="b"), about(Book="c")):
                # Also where there is nothing to read.
                for after, up_to in ((START, None), (START, 21), (START, 5), (START, 0), (head, None), (least, None)):
                    reading = store.read(
                        boundary,
                        after=after,
                        up_to=up_to,
                        min_position=least,
                        batch_size=batch_size,
                        consistency=consistency,
                    )
                    with pytest.raises(error, match=f"{least.number}"):
                        await collected(reading)


@pytest.mark.parametrize("batch_size", [1, 1000])
@pytest.mark.parametrize("consistency", Consistency)
async def test_reading_does_not_go_on_from_another_history(
    store: EventStore, consistency: Consistency, batch_size: int
) -> None:
    """After a failover its number may be there again, with another event: nothing says what came before it."""
    head = (await store.append([fact(Book="b") for _ in range(20)])).position
    for after, error in (
        (Position(number=5, token=head.token + 1), HistoryDiverged),
        (Position(number=20, token=head.token + 1), HistoryDiverged),
        (Position(number=21, token=head.token), PositionNotReached),
    ):
        for boundary in (ANY, about(Book="b"), about(Book="c")):
            for least in (None, head):
                reading = store.read(
                    boundary, after=after, min_position=least, batch_size=batch_size, consistency=consistency
                )
                with pytest.raises(error, match=f"{after.number}"):
                    await collected(reading)


async def test_reading_may_ask_for_more_than_it_demands(store: EventStore) -> None:
    head = (await store.append([fact(), fact()])).position
    assert numbers(await collected(store.read(ANY, min_position=head, up_to=9))) == [1, 2]
    assert numbers(await collected(store.read(ANY, up_to=9))) == [1, 2]


async def test_an_empty_store_has_nothing_to_read(store: EventStore) -> None:
    assert await collected(store.read(ANY)) == []
    assert await collected(store.read(ANY, after=START, batch_size=1)) == []
    assert await collected(store.read(ANY, min_position=START)) == []


async def test_a_batch_of_no_events_is_refused(store: EventStore) -> None:
    for batch_size in (0, -1):
        for reading in (store.read(ANY, batch_size=batch_size), store.subscribe(ANY, batch_size=batch_size)):
            with pytest.raises(InvalidRequest, match="1 or more"):
                await anext(reading)


@pytest.mark.parametrize("most", [2, 3, 7, 1000])
@pytest.mark.parametrize("batch_size", [1, 4])
async def test_long_histories_are_found_by_the_indexes_whole_and_in_order(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, most: int, batch_size: int
) -> None:
    # With few numbers held at a time, the windows are soon too wide, and the log is soon the faster way.
    monkeypatch.setattr("eventstore.postgres.reads.history._MOST_NUMBERS", most)
    monkeypatch.setattr("eventstore.postgres.reads.history.WIDEST", 0)
    await store.append([fact("ABC"[n % 3], Book="b" if n % 7 in {1, 2} else "c", n=n, hour=n % 5) for n in range(150)])
    matching = Filter.matching()
    books = about(Book="b")
    either = matching.any_event_type_of("A").or_matching().all_predicates_of(P("Book", "b"), P("n", 2))
    late = matching.any_event_type_of("A", "C").occurred_from(MONDAY + timedelta(hours=3))
    typed = matching.any_event_type_of("B").and_any_predicate_of(P("Book", "b"), P("Book", "c"), P("n", 4))
    impossible = matching.all_predicates_of(P("Book", "b"), P("Book", "c"))
    for boundary in (books, either, late, typed, impossible, books.narrowed_above(70)):
        for after, up_to in ((START, None), ((await positions(store))[40], 120), (START, 0)):
            read = await collected(store.read(boundary, after=after, up_to=up_to, batch_size=batch_size))
            asked = (await store.query(boundary)).events
            last = 150 if up_to is None else up_to
            assert read == [each for each in asked if after.number < each.sequence_number <= last]
