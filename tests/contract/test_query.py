import asyncio
from datetime import timedelta

import pytest

from eventstore import START, Consistency, EventStore, Filter, Position, PositionNotReached
from tests.support.facts import ANY, MONDAY, about, fact, matching, numbers


async def test_an_empty_store_answers_from_the_start(store: EventStore) -> None:
    stream = await store.query(ANY)
    assert stream.events == ()
    assert stream.position == START


async def test_events_come_back_whole_and_in_order(store: EventStore) -> None:
    moment = timedelta(hours=1, microseconds=1)
    await store.append([fact("Lent", Book="b", Pages=[1, {"x": None}]), fact("Returned", hour=5)])
    await store.append([fact("Lent", Book="c", by="another")])
    first, second, third = (await store.query(ANY)).events
    assert numbers([first, second, third]) == [1, 2, 3]
    assert (first.type, first.payload, first.metadata) == (
        "Lent",
        {"Book": "b", "Pages": [1, {"x": None}]},
        {"by": "test"},
    )
    assert (second.type, second.payload, second.occurred_at) == ("Returned", {}, MONDAY + timedelta(hours=5))
    assert third.metadata == {"by": "another"}
    await store.append([fact("Late", hour=moment / timedelta(hours=1))])
    (late,) = (await store.query(Filter.matching().any_event_type_of("Late"))).events
    assert late.occurred_at == MONDAY + moment
    assert late.occurred_at.utcoffset() == timedelta(0)


async def test_the_position_is_the_head_whatever_matches(store: EventStore) -> None:
    receipt = await store.append([fact(Book="b"), fact(Book="c")])
    for boundary in (ANY, about(Book="b"), about(Book="nobody's")):
        assert (await store.query(boundary)).position == receipt.position
    assert receipt.position.number == 2
    assert (await store.query(ANY)).events[-1].position == receipt.position


async def test_the_events_and_the_position_are_of_one_moment(store: EventStore) -> None:
    async def write() -> None:
        for _ in range(30):
            await store.append([fact(Book="b"), fact(Book="c")])

    writing = asyncio.create_task(write())
    seen = []
    while not writing.done():
        stream = await store.query(ANY)
        assert numbers(stream.events) == list(range(1, stream.position.number + 1))
        assert not stream.events or stream.events[-1].position == stream.position
        seen.append(stream.position.number)
        await asyncio.sleep(0)
    await writing
    assert seen == sorted(seen)
    assert all(number % 2 == 0 for number in seen)
    assert await matching(store, ANY) == list(range(1, 61))


@pytest.mark.parametrize("consistency", Consistency)
async def test_a_position_that_was_reached_is_no_obstacle(store: EventStore, consistency: Consistency) -> None:
    receipt = await store.append([fact(Book="b")])
    for least in (None, START, receipt.position):
        stream = await store.query(ANY, consistency=consistency, min_position=least)
        assert numbers(stream.events) == [1]


@pytest.mark.parametrize("consistency", Consistency)
async def test_a_position_that_nobody_reaches_is_an_error(store: EventStore, consistency: Consistency) -> None:
    await store.append([fact(Book="b")])
    with pytest.raises(PositionNotReached, match="ends at 1, before 2"):
        await store.query(ANY, consistency=consistency, min_position=Position(number=2, token=7))


async def test_what_a_caller_does_to_an_event_does_not_change_the_record(store: EventStore) -> None:
    await store.append([fact(Book="b", Authors=["x"])])
    (event,) = (await store.query(ANY)).events
    event.payload["Authors"].append("y")
    event.payload["Book"] = "c"
    event.metadata.clear()
    (again,) = (await store.query(about(Book="b"))).events
    assert again.payload == {"Book": "b", "Authors": ["x"]}
    assert again.metadata == {"by": "test"}
