"""A position that is not in the store's history, however it came about, is never decided on."""

from collections.abc import Callable
from uuid import UUID

import pytest

from eventstore import START, ConcurrencyConflict, EventStore, HistoryDiverged, Position
from tests.support.facts import ANY, about, fact, matching, positions

KEY = UUID(int=1)
ELSEWHERE: dict[str, Callable[[Position, Position], Position]] = {
    "above the head": lambda _, head: Position(number=head.number + 1, token=head.token),
    "far above the head": lambda _, head: Position(number=2**63 - 1, token=head.token),
    "another event at the head": lambda _, head: Position(number=head.number, token=head.token ^ 1),
    "another event below the head": lambda first, _: Position(number=first.number, token=first.token ^ 1),
    "an event at a number that is not its own": lambda first, head: Position(number=head.number, token=first.token),
    "before the first, with a token": lambda _, head: Position(number=0, token=head.token),
}


async def test_is_told_apart_whether_or_not_something_matches(store: EventStore) -> None:
    first = (await store.append([fact(Book="b")])).position
    head = (await store.append([fact(Book="b"), fact(Book="c")])).position
    for elsewhere in ELSEWHERE.values():
        for boundary in (about(Book="b"), about(Book="nobody's")):
            position = elsewhere(first, head)
            for events in ([], [fact(Book="b")]):
                with pytest.raises(HistoryDiverged, match=f"{position}"):
                    await store.append(events, boundary=boundary, after=position, key=KEY)
    assert await matching(store, ANY) == [1, 2, 3]
    assert await store.receipt(KEY) is None
    assert (await store.append([fact()], key=KEY)).first == 4


async def test_an_empty_store_has_no_history_but_its_start(store: EventStore) -> None:
    for position in (Position(number=0, token=7), Position(number=1, token=0), Position(number=1, token=7)):
        with pytest.raises(HistoryDiverged):
            await store.append([fact()], boundary=ANY, after=position)
    assert (await store.append([fact()], boundary=ANY, after=START)).first == 1


async def test_every_event_read_is_a_position_in_the_history(store: EventStore) -> None:
    await store.append([fact(), fact()])
    await store.append([])
    await store.append([fact()])
    for position in await positions(store):
        await store.append([], boundary=about(Book="b"), after=position)


@pytest.fixture
async def long_ago(store: EventStore) -> Position:
    """A position with more events above it than are searched under a lock, of book c each."""
    position = (await store.append([fact(Book="b")])).position
    for _ in range(3):
        await store.append([fact(Book="c")] * 1500)
    return position


async def test_a_position_of_long_ago_still_counts(store: EventStore, long_ago: Position) -> None:
    receipt = await store.append([fact(Book="b")], boundary=about(Book="b"), after=long_ago, key=KEY)
    assert receipt.first == 4502
    assert await store.receipt(KEY) == receipt
    assert (await store.append([], boundary=about(Book="b"), after=receipt.position)).position == receipt.position


async def test_a_conflict_above_a_position_of_long_ago_is_the_first_one(store: EventStore, long_ago: Position) -> None:
    await store.append([fact("Returned", Book="b"), fact(Book="b")])
    for position, first in ((long_ago, 4502), (START, 1)):
        with pytest.raises(ConcurrencyConflict) as raised:
            await store.append([fact(Book="b")], boundary=about(Book="b"), after=position)
        assert raised.value.sequence_number == first
    assert (await store.query(about(Book="nobody's"))).position.number == 4503


async def test_another_history_long_ago_is_told_apart(store: EventStore, long_ago: Position) -> None:
    other = Position(number=long_ago.number, token=long_ago.token ^ 1)
    for book in ("b", "c"):
        with pytest.raises(HistoryDiverged):
            await store.append([fact(Book="b")], boundary=about(Book=book), after=other)
