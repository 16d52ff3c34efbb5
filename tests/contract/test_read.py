import pytest

from eventstore import START, Consistency, EventStore, Filter, InvalidRequest, Position
from tests.contract.facts import ANY, about, collected, fact, log, numbers, positions


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
    for position in [*await positions(store), Position(number=9, token=1)]:
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


async def test_an_empty_store_has_nothing_to_read(store: EventStore) -> None:
    assert await collected(store.read(ANY)) == []
    assert await collected(store.read(ANY, after=START, batch_size=1)) == []


async def test_a_batch_of_no_events_is_refused(store: EventStore) -> None:
    for batch_size in (0, -1):
        for reading in (store.read(ANY, batch_size=batch_size), store.subscribe(ANY, batch_size=batch_size)):
            with pytest.raises(InvalidRequest, match="1 or more"):
                await anext(reading)
