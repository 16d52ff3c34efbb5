"""Numbers at the end of what a sequence number may be, and sizes beyond it."""

import asyncio
from uuid import uuid4

import pytest

from eventstore import (
    START,
    BoundaryPart,
    EventStore,
    Filter,
    HistoryDiverged,
    InvalidRequest,
    OwnRange,
    Position,
    PositionNotReached,
)
from eventstore.position import LAST_NUMBER
from tests.support.facts import ANY, about, collected, fact, numbers

FAR = (LAST_NUMBER, LAST_NUMBER - 1, 2**62)
BOUNDARIES = (ANY, about(Book="b"), Filter.matching().any_event_type_of("Lent"))


async def test_nothing_lies_above_a_bound_at_the_end_of_all_numbers(store: EventStore) -> None:
    head = (await store.append([fact(Book="b") for _ in range(3)])).position
    bounds = (*FAR, LAST_NUMBER + 1, 2**80)
    for boundary in (each.narrowed_above(number) for number in bounds for each in BOUNDARIES):
        assert (await store.query(boundary)).position == head
        (stream,) = await store.query_many([boundary], most=LAST_NUMBER)
        assert (stream.events, stream.position) == ((), head)
        assert await collected(store.read(boundary)) == []
        assert (await store.latest(boundary, limit=5)).events == ()
        assert (await store.append([], boundary=boundary, after=head)).position == head


@pytest.mark.parametrize("batch_size", [1, 1000, LAST_NUMBER])
async def test_a_subscription_above_a_bound_at_the_end_of_all_numbers_waits(store: EventStore, batch_size: int) -> None:
    await store.append([fact(Book="b")])
    waiting = [
        asyncio.create_task(collected(store.subscribe(boundary.narrowed_above(number), batch_size=batch_size)))
        for boundary in BOUNDARIES
        for number in FAR
    ]
    waiting.append(asyncio.create_task(collected(store.subscribe(ANY, after=Position(number=LAST_NUMBER, token=1)))))
    following = store.subscribe(ANY, batch_size=batch_size)
    for number in range(1, 30):
        assert (await anext(following)).sequence_number == number
        await store.append([fact(Book="b")])
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("number", FAR)
async def test_a_position_at_the_end_of_all_numbers_is_in_no_history(store: EventStore, number: int) -> None:
    await store.append([fact(Book="b")])
    far = Position(number=number, token=7)
    with pytest.raises(HistoryDiverged):
        await store.append([], boundary=about(Book="b"), after=far)
    ranged = BoundaryPart(filter=about(Book="b"), besides=(OwnRange(first=1, last=far),))
    with pytest.raises(HistoryDiverged):
        await store.append([], boundary=[ranged])
    with pytest.raises(PositionNotReached):
        await store.query(ANY, min_position=far)
    with pytest.raises(PositionNotReached):
        await store.query_many([ANY], after=[far])
    with pytest.raises(PositionNotReached):
        await collected(store.read(ANY, after=far))


async def test_the_largest_sizes_are_served_and_larger_ones_refused(store: EventStore) -> None:
    await store.append([fact(Book="b") for _ in range(3)], key=uuid4())
    for boundary in BOUNDARIES:
        assert numbers(await collected(store.read(boundary, batch_size=LAST_NUMBER, up_to=2**80))) == [1, 2, 3]
        assert numbers((await store.latest(boundary, limit=LAST_NUMBER)).events) == [1, 2, 3]
        for most in (LAST_NUMBER, 2**80):
            (stream,) = await store.query_many([boundary], after=[START], most=most)
            assert numbers(stream.events) == [1, 2, 3]
    assert len(await collected(store.all_receipts(batch_size=LAST_NUMBER))) == 1
    for size in (LAST_NUMBER + 1, 2**80):
        with pytest.raises(InvalidRequest, match=f"{LAST_NUMBER} at most"):
            await collected(store.all_receipts(batch_size=size))
        with pytest.raises(InvalidRequest, match=f"{LAST_NUMBER} at most"):
            await collected(store.read(ANY, batch_size=size))
        with pytest.raises(InvalidRequest, match=f"{LAST_NUMBER} at most"):
            await anext(store.subscribe(ANY, batch_size=size))
        with pytest.raises(InvalidRequest, match=f"{LAST_NUMBER} at most"):
            await store.latest(ANY, limit=size)
