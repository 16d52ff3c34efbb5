"""Appends that were decided one on top of another."""

from itertools import pairwise
from uuid import UUID, uuid4

import pytest

from eventstore import (
    LONGEST_CHAIN,
    START,
    Append,
    ChainBroken,
    ConcurrencyConflict,
    Event,
    EventStore,
    EventStoreError,
    Filter,
    IdempotencyKeyReused,
    InvalidRequest,
    Position,
    Receipt,
)
from tests.support.facts import ANY, about, fact, log, matching


def link(*events: Event, boundary: Filter | None = None, after: Position = START, key: UUID | None = None) -> Append:
    return Append(
        events=events,
        boundary=boundary,
        after=after if boundary is not None else None,
        key=key if key is not None else uuid4(),
    )


def kinds(found: list[Receipt | EventStoreError]) -> list[object]:
    """Each receipt's numbers, and each error's type."""
    return [(one.first, one.last) if isinstance(one, Receipt) else type(one) for one in found]


async def test_what_was_decided_on_top_of_another_is_recorded_with_it(store: EventStore) -> None:
    book = about(Book="b")
    found = await store.append_chain([link(fact(Book="b", n=n), boundary=book) for n in range(5)])
    assert kinds(found) == [(number, number) for number in range(1, 6)]
    assert [event.payload["n"] for event in await log(store)] == [0, 1, 2, 3, 4]
    positions = [one.position.number for one in found if isinstance(one, Receipt)]
    assert positions == [1, 2, 3, 4, 5]


async def test_an_event_from_elsewhere_refuses_all_who_have_not_read_it(store: EventStore) -> None:
    await store.append([fact(Book="b")])
    book = about(Book="b")
    found = await store.append_chain(
        [link(fact(Book="b"), boundary=book), link(fact(Book="b"), boundary=book), link(fact(Book="c"))]
    )
    assert kinds(found) == [ConcurrencyConflict, ConcurrencyConflict, (2, 2)]


async def test_whoever_relied_on_one_that_was_refused_is_refused(store: EventStore) -> None:
    await store.append([fact(Reader="r")])
    here = (await store.query(ANY)).position
    found = await store.append_chain(
        [
            # Has not read what concerns the reader.
            link(fact(Book="b", Reader="r"), boundary=about(Reader="r")),
            # Read everything, and saw the event that is missing now.
            link(fact(Book="b"), boundary=about(Book="b"), after=here),
            # Saw an event of the second.
            link(fact(Book="b"), boundary=about(Book="b"), after=here),
            # Saw nothing of either.
            link(fact(Book="c"), boundary=about(Book="c"), after=here),
        ]
    )
    assert kinds(found) == [ConcurrencyConflict, ChainBroken, ChainBroken, (2, 2)]


async def test_whoever_relied_on_a_duplicate_is_refused(store: EventStore) -> None:
    key = uuid4()
    first = await store.append([fact(Book="b")], key=key)
    book = about(Book="b")
    found = await store.append_chain(
        [
            link(fact(Book="b"), key=key),
            link(fact(Book="b"), boundary=book, after=first.position),
            link(fact(Book="c"), boundary=about(Book="c")),
        ]
    )
    assert found[0] == first.as_duplicate()
    assert kinds(found[1:]) == [ChainBroken, (2, 2)]


async def test_a_duplicate_that_would_add_nothing_stands_in_nobodys_way(store: EventStore) -> None:
    key = uuid4()
    first = await store.append([fact(Book="b")], key=key, digest=b"d")
    found = await store.append_chain(
        [
            Append(events=(), boundary=about(Book="b"), after=first.position, key=key, digest=b"d"),
            link(fact(Book="b"), boundary=about(Book="b"), after=first.position),
        ]
    )
    assert found[0] == first.as_duplicate()
    assert kinds(found[1:]) == [(2, 2)]


async def test_a_member_without_events_is_validated_on_top_of_the_others(store: EventStore) -> None:
    book = about(Book="b")
    found = await store.append_chain([link(fact(Book="b"), boundary=book), link(boundary=book)])
    assert kinds(found) == [(1, 1), (None, None)]
    assert all(isinstance(one, Receipt) and one.position.number == 1 for one in found)


async def test_a_key_that_comes_twice_in_a_chain_is_recorded_once(store: EventStore) -> None:
    key = uuid4()
    found = await store.append_chain([link(fact(Book="b"), key=key), link(fact(Book="b"), key=key)])
    assert isinstance(found[0], Receipt)
    assert found[1] == found[0].as_duplicate()
    found = await store.append_chain([link(fact(Book="x"), key=key), link(fact(Book="y"), key=key)])
    assert kinds(found) == [IdempotencyKeyReused, IdempotencyKeyReused]
    assert await matching(store, ANY) == [1]


async def test_a_repeated_key_does_not_pass_by_itself_when_the_first_is_refused(store: EventStore) -> None:
    await store.append([fact(Book="b")])
    key = uuid4()
    found = await store.append_chain(
        [
            link(fact(Book="b"), boundary=about(Book="b"), key=key),
            link(fact(Book="c"), boundary=about(Book="c"), key=key),
        ]
    )
    assert kinds(found) == [ConcurrencyConflict, ChainBroken]
    assert await matching(store, ANY) == [1]


async def test_a_chain_of_none_does_nothing(store: EventStore) -> None:
    assert await store.append_chain([]) == []


async def test_a_member_needs_a_key_and_a_chain_has_an_end(store: EventStore) -> None:
    with pytest.raises(InvalidRequest, match="needs a key"):
        await store.append_chain([Append(events=[fact()])])
    with pytest.raises(InvalidRequest, match="at most 128"):
        await store.append_chain([link(fact()) for _ in range(LONGEST_CHAIN + 1)])
    assert await log(store) == []


async def test_the_longest_chain_is_recorded_whole(store: EventStore) -> None:
    book = about(Book="b")
    found = await store.append_chain([link(fact(Book="b"), boundary=book) for _ in range(LONGEST_CHAIN)])
    assert kinds(found) == [(number, number) for number in range(1, LONGEST_CHAIN + 1)]


async def test_positions_in_a_chain_are_those_of_their_places(store: EventStore) -> None:
    """What a worker answers with, and folds its own events by: no gap, and each position with its own event's token."""
    before = (await store.append([fact(Book="x"), fact(Book="x")])).position
    key = uuid4()
    old = await store.append([fact(Book="old")], key=key)
    head = old.position
    found = await store.append_chain(
        [
            link(boundary=about(Book="b"), after=before),
            link(fact(Book="b"), fact(Book="b"), boundary=about(Book="b"), after=before),
            link(boundary=about(Book="b"), after=before),
            link(fact(Book="old"), key=key),
            link(fact(Book="refused"), boundary=about(Book="x")),
            link(boundary=about(Book="c")),
            link(fact(Book="c")),
            link(fact(Book="d"), fact(Book="d")),
            link(),
        ]
    )
    assert kinds(found) == [
        (None, None),
        (4, 5),
        (None, None),
        (3, 3),
        ConcurrencyConflict,
        (None, None),
        (6, 6),
        (7, 8),
        (None, None),
    ]
    assert found[3] == old.as_duplicate()
    events = await log(store)
    receipts = [one for one in found if isinstance(one, Receipt) and not one.duplicate]
    assert receipts[0].position == head
    assert [receipt.position.number for receipt in receipts] == [3, 5, 5, 5, 6, 8, 8]
    for receipt in receipts:
        assert receipt.position == events[receipt.position.number - 1].position
    ranges = [(receipt.first, receipt.last) for receipt in receipts if receipt.first is not None]
    assert all(last is not None and following == last + 1 for (_, last), (following, _) in pairwise(ranges))
    for receipt in receipts:
        assert receipt.key is not None
        assert await store.receipt(receipt.key) == receipt
