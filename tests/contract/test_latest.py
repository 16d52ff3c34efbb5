from datetime import timedelta

import pytest

from eventstore import START, Consistency, EventStore, Filter, InvalidRequest, Position
from tests.support.facts import ANY, MONDAY, about, collected, fact, log, numbers

BOOK = about(Book="b")


async def test_the_position_is_that_of_the_last_event(store: EventStore) -> None:
    assert await store.position() == START
    await store.append([fact(), fact()])
    for consistency in Consistency:
        assert await store.position(consistency=consistency) == (await log(store))[-1].position


@pytest.mark.parametrize("consistency", Consistency)
async def test_the_last_events_come_in_order_with_the_head(store: EventStore, consistency: Consistency) -> None:
    await store.append([fact(n=n) for n in range(20)])
    events = await log(store)
    for limit in (1, 2, 19, 20, 21, 1000):
        found = await store.latest(ANY, limit=limit, consistency=consistency)
        assert list(found.events) == events[-limit:]
        assert found.position == events[-1].position


async def test_a_filter_and_its_bounds_hold(store: EventStore) -> None:
    await store.append([fact(Book="b" if n % 3 else "c", hour=n) for n in range(1, 31)])
    assert numbers((await store.latest(BOOK, limit=3)).events) == [26, 28, 29]
    assert numbers((await store.latest(BOOK.narrowed_above(27), limit=3)).events) == [28, 29]
    assert numbers((await store.latest(ANY.narrowed_above(28), limit=9)).events) == [29, 30]
    early = Filter.matching_any_event().occurred_until(MONDAY + timedelta(hours=4))
    assert numbers((await store.latest(early, limit=3)).events) == [2, 3, 4]
    assert numbers((await store.latest(about(Book="d"), limit=3)).events) == []


@pytest.mark.parametrize("boundary", [ANY, BOOK])
async def test_the_last_events_below_a_number_are_found(store: EventStore, boundary: Filter) -> None:
    await store.append([fact(Book="b") for _ in range(1200)])
    for up_to, found in (
        (1150, [1149, 1150]),
        (2, [1, 2]),
        (1, [1]),
        (0, []),
        (1199, [1198, 1199]),
        (9999, [1199, 1200]),
    ):
        assert numbers((await store.latest(boundary, limit=2, up_to=up_to)).events) == found
    few = await store.latest(boundary.narrowed_above(1195), limit=3, up_to=1199)
    assert (numbers(few.events), few.position.number) == ([1197, 1198, 1199], 1200)


async def test_many_matches_are_found_as_well_as_few(store: EventStore) -> None:
    # More than are read by the indexes, the last of them far below the head.
    await store.append([fact(Book="b") for _ in range(1100)] + [fact(Book="c") for _ in range(3000)])
    for limit in (1, 10, 1099, 5000):
        found = numbers((await store.latest(BOOK, limit=limit)).events)
        assert found == list(range(max(1, 1101 - limit), 1101))


async def test_an_empty_store_has_no_last_event(store: EventStore) -> None:
    found = await store.latest(ANY, limit=5)
    assert (found.events, found.position) == ((), Position(number=0, token=0))
    with pytest.raises(InvalidRequest, match="1 or more"):
        await store.latest(ANY, limit=0)


@pytest.mark.parametrize("batch_size", [1, 1000])
async def test_reading_ends_at_a_number(store: EventStore, batch_size: int) -> None:
    await store.append([fact() for _ in range(6)])
    for above, up_to, found in ((1, 3, [2, 3]), (0, 9, [1, 2, 3, 4, 5, 6]), (4, 4, []), (5, 2, []), (9, 12, [])):
        read = store.read(ANY.narrowed_above(above), up_to=up_to, batch_size=batch_size)
        assert numbers(await collected(read)) == found


async def test_a_subscription_may_begin_beyond_the_head(store: EventStore) -> None:
    await store.append([fact() for _ in range(3)])
    following = store.subscribe(ANY.narrowed_above(5), batch_size=1)
    await store.append([fact() for _ in range(4)])
    assert numbers([await anext(following), await anext(following)]) == [6, 7]
