"""Following by windows: what a follower is given, and how far it may say that it has come."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import pytest

from eventstore import EventStore, Filter, HistoryDiverged, InvalidRequest, Position, Window
from tests.support.facts import ANY, about, fact, numbers, positions


async def _windows(
    store: EventStore, boundary: Filter, last: int, *, after: Position | None = None, batch_size: int = 1000
) -> list[Window]:
    """Follow up to a number."""
    following = store.follow(boundary, after=after, batch_size=batch_size)
    found: list[Window] = []
    async with asyncio.timeout(20), aclosing(cast("AsyncGenerator[Window, None]", following)):
        async for window in following:
            found.append(window)
            if window.position.number >= last:
                return found
    raise AssertionError("it ended")


@pytest.mark.parametrize("batch_size", [1, 2, 3, 1000])
async def test_each_window_goes_on_where_the_one_before_ended(store: EventStore, batch_size: int) -> None:
    await store.append([fact(Book="b" if n % 3 == 0 else "c") for n in range(40)])
    known = await positions(store)
    windows = await _windows(store, about(Book="b"), 40, batch_size=batch_size)
    found = [number for window in windows for number in numbers(window.events)]
    assert found == list(range(1, 41, 3))
    before = 0
    for window in windows:
        assert window.position == known[window.position.number]
        assert all(before < number <= window.position.number for number in numbers(window.events))
        assert before < window.position.number
        assert window.head == known[40]
        before = window.position.number


@pytest.mark.parametrize("batch_size", [1, 4])
async def test_every_windows_position_is_a_place_to_go_on_from(store: EventStore, batch_size: int) -> None:
    await store.append([fact(Book="b" if n % 5 == 4 else "c") for n in range(20)])
    for window in await _windows(store, about(Book="b"), 20, batch_size=batch_size):
        if window.position.number < 20:
            rest = await _windows(store, about(Book="b"), 20, after=window.position, batch_size=batch_size)
            found = [number for each in rest for number in numbers(each.events)]
            assert found == [number for number in (5, 10, 15, 20) if number > window.position.number]


async def test_a_log_that_grows_by_what_does_not_match_is_told_of(store: EventStore) -> None:
    await store.append([fact(Book="b")])
    (first,) = await _windows(store, about(Book="b"), 1)
    at = (await store.append([fact(Book="c")])).position
    (second,) = await _windows(store, about(Book="b"), 2, after=first.position)
    assert (second.events, second.position) == ((), at)


async def test_a_bound_on_the_number_is_kept(store: EventStore) -> None:
    await store.append([fact() for _ in range(9)])
    windows = await _windows(store, ANY.narrowed_above(5), 9, batch_size=2)
    assert [number for window in windows for number in numbers(window.events)] == [6, 7, 8, 9]


async def test_a_position_of_another_history_is_no_place_to_begin(store: EventStore) -> None:
    event = (await store.append([fact()])).position
    await store.append([fact()])
    with pytest.raises(HistoryDiverged):
        await anext(store.follow(ANY, after=Position(number=event.number, token=event.token + 1)))


async def test_a_batch_of_no_events_is_refused(store: EventStore) -> None:
    with pytest.raises(InvalidRequest):
        await anext(store.follow(ANY, batch_size=0))
