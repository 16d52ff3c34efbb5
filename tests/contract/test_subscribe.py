import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import pytest

from eventstore import START, Consistency, EventStore, Filter, HistoryDiverged, Position, RecordedEvent
from tests.support.facts import ANY, about, fact, log, numbers, positions


class Follower:
    """Collects what a subscription brings, in a task of its own."""

    def __init__(
        self, store: EventStore, boundary: Filter, *, after: Position | None = None, batch_size: int = 1000
    ) -> None:
        self.seen: list[RecordedEvent] = []
        self._arrived = asyncio.Condition()
        self.task = asyncio.create_task(self._follow(store, boundary, after, batch_size))

    async def _follow(self, store: EventStore, boundary: Filter, after: Position | None, batch_size: int) -> None:
        following = store.subscribe(boundary, after=after, batch_size=batch_size)
        async with aclosing(cast("AsyncGenerator[RecordedEvent, None]", following)):
            async for event in following:
                async with self._arrived:
                    self.seen.append(event)
                    self._arrived.notify_all()

    async def until(self, count: int) -> list[int]:
        """Wait until this many events have arrived, and return their numbers."""
        async with asyncio.timeout(20), self._arrived:
            await self._arrived.wait_for(lambda: len(self.seen) >= count)
        return numbers(self.seen)

    async def end(self) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


async def test_catches_up_and_then_follows(store: EventStore) -> None:
    await store.append([fact(), fact(), fact()])
    followers = [Follower(store, ANY, batch_size=size) for size in (1, 2, 1000)]
    for follower in followers:
        assert await follower.until(3) == [1, 2, 3]
    await store.append([fact(), fact()])
    for follower in followers:
        assert await follower.until(5) == [1, 2, 3, 4, 5]
    await store.append([fact()])
    for follower in followers:
        assert await follower.until(6) == [1, 2, 3, 4, 5, 6]
        assert follower.seen == await log(store)
        await follower.end()


async def test_waits_for_the_first_event_of_an_empty_store(store: EventStore) -> None:
    follower = Follower(store, ANY)
    await store.append([fact()])
    assert await follower.until(1) == [1]
    await follower.end()


async def test_brings_only_what_matches_in_order(store: EventStore) -> None:
    follower = Follower(store, about(Book="b"), batch_size=2)
    await store.append([fact(Book="c") for _ in range(9)])
    await store.append([fact(Book="b"), fact(Book="c"), fact(Book="b")])
    await store.append([fact(Book="c")])
    await store.append([fact(Book="b")])
    assert await follower.until(3) == [10, 12, 14]
    await follower.end()


async def test_begins_above_a_position(store: EventStore) -> None:
    await store.append([fact(), fact(), fact()])
    start, first, second, _ = await positions(store)
    followers = [
        (number, Follower(store, ANY, after=position, batch_size=1))
        for number, position in ((0, None), (0, start), (1, first), (2, second))
    ]
    await store.append([fact()])
    for number, follower in followers:
        assert await follower.until(4 - number) == list(range(number + 1, 5))
        await follower.end()


async def test_a_position_above_the_head_is_waited_for_and_then_judged(store: EventStore) -> None:
    await store.append([fact()])
    follower = Follower(store, ANY, after=Position(number=2, token=7))
    other = Follower(store, ANY)
    assert await other.until(1) == [1]
    assert not follower.task.done()
    await store.append([fact(), fact()])
    assert await other.until(3) == [1, 2, 3]
    await other.end()
    # Event 2 is another one than the follower has seen.
    with pytest.raises(HistoryDiverged):
        await follower.task
    assert follower.seen == []


async def test_a_position_of_another_history_is_no_place_to_begin(store: EventStore) -> None:
    event = (await store.append([fact()])).position
    await store.append([fact()])
    wrong = Position(number=event.number, token=event.token + 1)
    with pytest.raises(HistoryDiverged):
        await anext(store.subscribe(ANY, after=wrong))


async def test_misses_nothing_while_many_write(store: EventStore) -> None:
    followers = [Follower(store, ANY, batch_size=size) for size in (1, 7, 1000)]

    async def write(n: int) -> None:
        for _ in range(10):
            await store.append([fact(n=n), fact(n=n)])

    await asyncio.gather(*(write(n) for n in range(8)))
    for follower in followers:
        assert await follower.until(160) == list(range(1, 161))
        await follower.end()


async def test_ends_by_cancellation_and_leaves_the_store_usable(store: EventStore) -> None:
    await store.append([fact()])
    following = store.subscribe(ANY, after=START, consistency=Consistency.STRONG)
    assert (await anext(following)).sequence_number == 1
    waiting = asyncio.create_task(cast("AsyncGenerator[RecordedEvent, None]", following).__anext__())
    await store.append([], boundary=about(Book="b"))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(StopAsyncIteration):
        await anext(following)
    assert (await store.append([fact()])).first == 2
