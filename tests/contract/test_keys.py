"""A key makes an append happen once, whatever happens around it."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from eventstore import (
    START,
    ConcurrencyConflict,
    Event,
    EventStore,
    IdempotencyKeyReused,
    Outcome,
    OutcomeKind,
    Position,
    Receipt,
)
from tests.support.facts import ANY, about, fact, log, matching

KEY = UUID(int=1)


async def test_a_repeated_append_gets_the_first_receipt_and_records_nothing(store: EventStore) -> None:
    first = await store.append([fact(Book="b"), fact(Book="c")], key=KEY)
    await store.append([fact(Book="d")])
    again = await store.append([fact(Book="b"), fact(Book="c")], key=KEY)
    assert not first.duplicate
    assert again == first.as_duplicate()
    assert (first.first, first.last, first.position.number) == (1, 2, 2)
    assert await matching(store, ANY) == [1, 2, 3]


@pytest.mark.parametrize(
    "after",
    [
        lambda read: read,
        lambda _: None,
        lambda read: Position(number=read.number, token=read.token ^ 1),
        lambda read: replace(read, number=99),
    ],
    ids=["stale", "none", "of another history", "above the head"],
)
async def test_the_first_receipt_stands_whatever_the_boundary_says_by_then(
    store: EventStore, after: Callable[[Position], Position | None]
) -> None:
    read = (await store.append([fact(Book="c")])).position
    first = await store.append([fact(Book="b")], boundary=about(Book="b"), after=read, key=KEY)
    await store.append([fact(Book="b")])
    again = await store.append([fact(Book="b")], boundary=about(Book="b"), after=after(read), key=KEY)
    assert again == first.as_duplicate()
    assert await matching(store, ANY) == [1, 2, 3]


async def test_who_digests_its_command_may_decide_differently_and_gets_its_first_answer(store: EventStore) -> None:
    first = await store.append([fact(Book="b")], key=KEY, digest=b"lend b")
    rejection = Outcome(kind=OutcomeKind.REJECTED, reason="is lent")
    again = await store.append([], boundary=about(Book="b"), key=KEY, digest=b"lend b", outcome=rejection)
    assert again == first.as_duplicate()
    assert await store.receipt(KEY) == first


async def test_the_same_request_at_another_time_by_another_is_the_same(store: EventStore) -> None:
    first = await store.append([fact(Book="b", hour=1, by="x")], boundary=about(Book="b"), after=START, key=KEY)
    again = await store.append([fact(Book="b", hour=2, by="y")], boundary=about(Book="b"), key=KEY)
    assert again == first.as_duplicate()
    assert (await log(store))[0].metadata == {"by": "x"}


OTHERS: dict[str, dict[str, Any]] = {
    "payload": {"events": [fact(Book="c")]},
    "type": {"events": [fact("Returned", Book="b")]},
    "one more": {"events": [fact(Book="b"), fact(Book="b")]},
    "none": {"events": []},
    "boundary": {"boundary": about(Book="c")},
    "unconditional": {"boundary": None, "after": None},
    "digest": {"digest": b"another"},
}


async def test_another_request_under_the_key_is_refused(store: EventStore) -> None:
    original: dict[str, Any] = {"events": [fact(Book="b")], "boundary": about(Book="b"), "after": START}
    first = await store.append(**original, key=KEY)
    for other in OTHERS.values():
        with pytest.raises(IdempotencyKeyReused, match=str(KEY)) as raised:
            await store.append(**{**original, **other}, key=KEY)
        assert raised.value.key == KEY
    assert await matching(store, ANY) == [1]
    assert await store.receipt(KEY) == first
    assert await store.append(**original, key=KEY) == first.as_duplicate()


async def test_a_digest_is_compared_byte_by_byte(store: EventStore) -> None:
    digest = bytes(range(64))
    first = await store.append([], key=KEY, digest=digest)
    assert await store.append([], key=KEY, digest=digest) == first.as_duplicate()
    for other in (digest[:-1], digest[:-1] + b"\xff", b"\x00"):
        with pytest.raises(IdempotencyKeyReused):
            await store.append([], key=KEY, digest=other)


async def test_a_refused_append_leaves_its_key_free(store: EventStore) -> None:
    await store.append([fact(Book="b")])
    with pytest.raises(ConcurrencyConflict):
        await store.append([fact(Book="b")], boundary=about(Book="b"), key=KEY, digest=b"first")
    assert await store.receipt(KEY) is None
    receipt = await store.append([fact(Book="c")], key=KEY, digest=b"second")
    assert (receipt.first, receipt.duplicate) == (2, False)


async def test_the_same_request_under_two_keys_happens_twice(store: EventStore) -> None:
    event = fact(Book="b")
    receipts = await asyncio.gather(*(store.append([event], key=uuid4()) for _ in range(5)))
    assert sorted(receipt.first or 0 for receipt in receipts) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("events", [[], [fact(Book="b")]], ids=["no events", "one event"])
async def test_of_simultaneous_appends_with_one_key_one_happens(store: EventStore, events: list[Event]) -> None:
    tries = [store.append(events, boundary=about(Book="b"), after=START, key=KEY) for _ in range(20)]
    tries.append(store.append([fact(Book="c")], boundary=about(Book="b"), after=START, key=KEY))
    answers = await asyncio.gather(*tries, return_exceptions=True)
    (reused,) = (answer for answer in answers if not isinstance(answer, Receipt))
    assert isinstance(reused, IdempotencyKeyReused)
    receipts = [answer for answer in answers if isinstance(answer, Receipt)]
    (first,) = (receipt for receipt in receipts if not receipt.duplicate)
    assert [receipt for receipt in receipts if receipt.duplicate] == [first.as_duplicate()] * 19
    assert await matching(store, ANY) == [1] * len(events)
