import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from eventstore import (
    START,
    Append,
    ChainBroken,
    ConcurrencyConflict,
    Event,
    Filter,
    MemoryEventStore,
    P,
    Position,
    Receipt,
    RecordedEvent,
    StoreUnavailable,
)
from handlers.domain import Domain
from handlers.kept_states import KeptState
from handlers.part import Part
from tests.unit.worker.tally import domain, tally
from worker.rounds.group import Group, Overlay, Place

BOUNDARY = Filter.matching().any_predicate_of(P("Key", "a"))


def counted(number: int = 0, key: str = "a") -> Event:
    return Event(type="Counted", payload={"Key": key, "Number": number})


def append(*events: Event) -> Append:
    return Append(events=events, boundary=BOUNDARY, after=START, key=uuid4())


class Ends:
    """How often a group has ended."""

    count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def store() -> MemoryEventStore:
    return MemoryEventStore()


@pytest.fixture
def ends() -> Ends:
    return Ends()


async def member(place: Place, number: int, order: list[int]) -> Receipt:
    try:
        seen = await place.earlier()
        order.append(number)
        assert [event.payload["Number"] for event in seen] == list(range(number))
        return await place.append(append(counted(number)))
    finally:
        place.leave()


async def test_members_decide_in_order_and_are_recorded_together(store: MemoryEventStore, ends: Ends) -> None:
    order: list[int] = []
    places = Group(5, store, ends).places()
    tasks = [asyncio.create_task(member(place, number, order)) for number, place in reversed(list(enumerate(places)))]
    receipts = await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]
    assert sorted(receipt.first or 0 for receipt in receipts) == [1, 2, 3, 4, 5]
    assert [event.payload["Number"] for event in store._events] == [0, 1, 2, 3, 4]
    assert ends.count == 1


async def test_one_that_leaves_is_not_waited_for_and_not_seen(store: MemoryEventStore, ends: Ends) -> None:
    first, second, third = Group(3, store, ends).places()
    waiting = asyncio.create_task(third.earlier())
    await asyncio.sleep(0)
    second.leave()
    await asyncio.sleep(0)
    assert not waiting.done()
    recorded = asyncio.create_task(first.append(append(counted(7))))
    assert [event.payload["Number"] for event in await waiting] == [7]
    third.leave()
    third.leave()
    assert (await recorded).first == 1
    assert ends.count == 0
    first.leave()
    assert ends.count == 1


async def test_each_member_has_its_own_verdict(store: MemoryEventStore, ends: Ends) -> None:
    await store.append([counted(key="elsewhere"), counted()])
    here = (await store.query(BOUNDARY)).position
    elsewhere = Filter.matching().any_predicate_of(P("Key", "elsewhere"))
    first, second, third = Group(3, store, ends).places()
    results = await asyncio.gather(
        first.append(append(counted())),
        second.append(Append(events=[counted()], boundary=BOUNDARY, after=here, key=uuid4())),
        third.append(Append(events=[], boundary=elsewhere, after=here, key=uuid4())),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [ConcurrencyConflict, ChainBroken, Receipt]


async def test_a_member_that_is_cancelled_after_its_decision_is_recorded_with_the_others(
    store: MemoryEventStore, ends: Ends
) -> None:
    first, second = Group(2, store, ends).places()
    deciding = asyncio.create_task(first.append(append(counted(0))))
    await asyncio.sleep(0)
    deciding.cancel()
    await asyncio.gather(deciding, return_exceptions=True)
    first.leave()
    assert [event.payload["Number"] for event in await second.earlier()] == [0]
    assert (await second.append(append(counted(1)))).first == 2


async def test_each_event_is_folded_once_into_the_states_on_top(monkeypatch: pytest.MonkeyPatch) -> None:
    part, folded = tally.at("a"), list[int]()

    def fold(_part: Part[Any], state: int, events: Iterable[RecordedEvent]) -> int:
        for event in events:
            folded.append(event.payload["Number"])
            state += 1
        return state

    monkeypatch.setattr(Domain, "fold", lambda _, *arguments: fold(*arguments))
    overlay, kept = Overlay(), KeptState(state=10, position=Position(number=4, token=1))
    earlier = [counted(number).recorded(2**62, 0) for number in range(3)]
    assert overlay.state(part, kept, earlier[:1], domain) == replace(kept, state=11, events=1)
    others = [*earlier, counted(9, "elsewhere").recorded(2**62, 0)]
    assert overlay.state(part, kept, others, domain) == replace(kept, state=13, events=3)
    assert folded == [0, 1, 2]
    # One that was read elsewhere begins anew.
    moved = KeptState(state=20, position=Position(number=5, token=1))
    assert overlay.state(part, moved, earlier, domain) == replace(moved, state=23, events=3)
    assert folded == [0, 1, 2, 0, 1, 2]


async def test_a_group_of_one_appends_alone(store: MemoryEventStore, ends: Ends) -> None:
    (place,) = Group(1, store, ends).places()
    assert await place.earlier() == []
    # Without a key, which no chain would take.
    receipt = await place.append(Append(events=[counted()], boundary=BOUNDARY))
    assert (receipt.first, receipt.key) == (1, None)


async def test_one_whose_events_cannot_be_read_concerns_nobody_else(store: MemoryEventStore, ends: Ends) -> None:
    class Unreadable(Event):
        def recorded(self, sequence_number: int, token: int) -> RecordedEvent:
            raise ValueError(f"event {sequence_number} of {token} is no JSON")

    first, second, third = Group(3, store, ends).places()
    waiting = [asyncio.create_task(place.earlier()) for place in (second, third)]
    recorded = asyncio.create_task(first.append(append(counted(0))))
    await waiting[0]
    with pytest.raises(ValueError, match="is no JSON"):
        await second.append(append(Unreadable(type="Counted", payload={})))
    second.leave()
    assert [event.payload["Number"] for event in await waiting[1]] == [0]
    assert (await third.append(append(counted(1)))).first == 2
    assert (await recorded).first == 1
    for place in (first, third):
        place.leave()
    assert ends.count == 1


async def test_all_are_told_when_the_store_fails_in_a_way_that_it_does_not_know(ends: Ends) -> None:
    class Broken(MemoryEventStore):
        async def append_chain(self, appends: Any) -> Any:
            raise ZeroDivisionError(f"a bug, met by {len(appends)} appends")

    first, second = Group(2, Broken(), ends).places()
    async with asyncio.timeout(10):
        results = await asyncio.gather(
            first.append(append(counted())), second.append(append(counted())), return_exceptions=True
        )
    assert [type(result) for result in results] == [ZeroDivisionError, ZeroDivisionError]


async def test_all_are_told_when_the_store_cannot_answer(ends: Ends) -> None:
    class Down(MemoryEventStore):
        async def append_chain(self, appends: Any) -> Any:
            raise StoreUnavailable(f"down for {len(appends)} appends")

    first, second = Group(2, Down(), ends).places()
    results = await asyncio.gather(
        first.append(append(counted())), second.append(append(counted())), return_exceptions=True
    )
    assert [type(result) for result in results] == [StoreUnavailable, StoreUnavailable]
    assert results[0] is not results[1]
