"""Appends of many events: one transaction and one verdict, whatever else waits, up to a limit that is told."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from eventstore import (
    LARGEST_APPEND,
    START,
    Append,
    ConcurrencyConflict,
    Event,
    EventStore,
    InvalidRequest,
    Receipt,
)
from tests.support.facts import ANY, about, fact, log, matching

_MANY = 3000


def facts(count: int, book: str = "b", **payload: Any) -> list[Event]:
    return [fact(Book=book, n=n, **payload) for n in range(count)]


async def test_thousands_are_recorded_in_order_with_one_receipt(store: EventStore) -> None:
    await store.append([fact(Book="before")])
    key = uuid4()
    receipt = await store.append(facts(_MANY), key=key)
    assert (receipt.first, receipt.last, receipt.position.number) == (2, _MANY + 1, _MANY + 1)
    events = await log(store)
    assert [event.payload["n"] for event in events[1:]] == list(range(_MANY))
    assert len({event.token for event in events[1:]}) == 1
    again = await store.append(facts(_MANY), key=key)
    assert (again.duplicate, again.first, again.last) == (True, 2, _MANY + 1)


async def test_the_largest_append_is_recorded_and_a_larger_one_is_refused(store: EventStore) -> None:
    with pytest.raises(InvalidRequest, match="at most 5,000 events are recorded at once, not 5,001"):
        await store.append(facts(LARGEST_APPEND + 1))
    assert await matching(store, ANY) == []
    assert (await store.append(facts(LARGEST_APPEND))).last == LARGEST_APPEND


async def test_thousands_under_one_condition_are_recorded_or_none(store: EventStore) -> None:
    read = await store.query(about(Book="b"))
    await store.append([fact(Book="b", by="another")])
    with pytest.raises(ConcurrencyConflict) as raised:
        await store.append(facts(_MANY), boundary=about(Book="b"), after=read.position)
    assert raised.value.sequence_number == 1
    assert await matching(store, ANY) == [1]
    read = await store.query(about(Book="b"))
    receipt = await store.append(facts(_MANY), boundary=about(Book="b"), after=read.position)
    assert (receipt.first, receipt.last) == (2, _MANY + 1)


async def test_one_event_of_thousands_is_in_the_way_of_who_has_not_read_it(store: EventStore) -> None:
    read = await store.query(about(Book="needle"))
    hay = facts(_MANY, "hay")
    receipt = await store.append([*hay[:2000], fact(Book="needle"), *hay[2000:]])
    assert receipt.last == _MANY + 1
    with pytest.raises(ConcurrencyConflict) as raised:
        await store.append([fact(Book="needle")], boundary=about(Book="needle"), after=read.position)
    assert raised.value.sequence_number == 2001


async def test_of_many_large_ones_for_one_boundary_one_is_recorded(store: EventStore) -> None:
    read = await store.query(about(Book="b"))
    found = await asyncio.gather(
        *(store.append(facts(200, by_whom=place), boundary=about(Book="b"), after=read.position) for place in range(8)),
        return_exceptions=True,
    )
    recorded = [one for one in found if isinstance(one, Receipt)]
    assert [(one.first, one.last) for one in recorded] == [(1, 200)]
    assert [type(one) for one in found if not isinstance(one, Receipt)] == [ConcurrencyConflict] * 7
    assert len({event.payload["by_whom"] for event in await log(store)}) == 1


async def test_large_ones_for_boundaries_of_their_own_are_all_recorded_without_gaps(store: EventStore) -> None:
    found = await asyncio.gather(
        *(store.append(facts(100, f"b{place}"), boundary=about(Book=f"b{place}"), after=START) for place in range(8))
    )
    assert sorted((one.first or 0, one.last or 0) for one in found) == [
        (100 * place + 1, 100 * place + 100) for place in range(8)
    ]
    for place, receipt in enumerate(found):
        assert await matching(store, about(Book=f"b{place}")) == list(
            range(receipt.first or 0, (receipt.last or 0) + 1)
        )


async def test_a_member_of_a_batch_that_meets_one_of_a_hundred_events_is_refused(store: EventStore) -> None:
    """Its text is found among many, with what must be escaped in it, and numbers by their value."""
    for needle in ("needle", 'nee"dle\\', "näedle", 7, True):
        read = await store.query(about(Book=needle))
        many = [*facts(50, "hay"), fact(Book=needle), *facts(50, "hay")]
        found = await asyncio.gather(
            store.append(many),
            store.append([fact(Book="own", of=str(needle))], boundary=about(Book=needle), after=read.position),
            return_exceptions=True,
        )
        assert [type(one) for one in found] == [Receipt, ConcurrencyConflict], needle


async def test_a_chain_of_many_large_members_is_recorded_in_order(store: EventStore) -> None:
    book = about(Book="b")
    members = [Append(events=facts(900, round=place), boundary=book, after=START, key=uuid4()) for place in range(5)]
    found = await store.append_chain(members)
    assert [(one.first, one.last) for one in found if isinstance(one, Receipt)] == [
        (900 * place + 1, 900 * (place + 1)) for place in range(5)
    ]
    assert [event.payload["round"] for event in await log(store)][::900] == list(range(5))
    again = await store.append_chain(members)
    assert [one.duplicate for one in again if isinstance(one, Receipt)] == [True] * 5


async def test_a_chain_of_too_many_events_is_refused(store: EventStore) -> None:
    members = [Append(events=facts(count), key=uuid4()) for count in (LARGEST_APPEND, 1)]
    with pytest.raises(InvalidRequest, match="at most 5,000 events are recorded at once, not 5,001"):
        await store.append_chain(members)
    assert await matching(store, ANY) == []
