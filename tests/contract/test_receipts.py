from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from eventstore import ACCEPTED, START, Event, EventStore, InvalidRequest, Outcome, OutcomeKind, Receipt
from tests.support.facts import ANY, about, collected, fact

KEY = UUID(int=1)
DETAILS = {"command": "Lend \"b\" 'now' \\", "attempts": 3, "share": Decimal("0.10"), "also": [None, {"x": 10**30}]}


async def test_every_outcome_is_kept_as_it_was_told(store: EventStore) -> None:
    written = [
        await keep(store, events, Outcome(kind=kind, reason=reason, details=DETAILS))
        for kind in OutcomeKind
        for reason in (None, "", "'lent' \\ \"日本\"")
        for events in ([], [fact(Book="b"), fact(Book="b")])
    ]
    for receipt in written:
        assert receipt.key is not None
        assert await store.receipt(receipt.key) == receipt
    assert await collected(store.all_receipts()) == sorted(written, key=lambda receipt: receipt.key or KEY)


async def keep(store: EventStore, events: list[Event], outcome: Outcome) -> Receipt:
    """Append with a new key, and look at the receipt."""
    head = (await store.query(ANY)).position
    key = uuid4()
    receipt = await store.append(events, boundary=about(Book="b"), after=head, key=key, outcome=outcome)
    assert (receipt.key, receipt.outcome, receipt.duplicate) == (key, outcome, False)
    assert (receipt.first, receipt.last) == ((head.number + 1, head.number + 2) if events else (None, None))
    assert receipt.position == (await store.query(ANY)).position
    return receipt


async def test_an_unconditional_append_of_nothing_has_its_receipt(store: EventStore) -> None:
    receipt = await store.append([], key=KEY)
    assert (receipt.key, receipt.outcome, receipt.position) == (KEY, ACCEPTED, START)
    assert await store.receipt(KEY) == receipt


async def test_a_receipt_says_when_it_was_written(store: EventStore) -> None:
    receipt = await store.append([], key=KEY)
    assert receipt.recorded_at is not None
    assert receipt.recorded_at.utcoffset() == timedelta(0)
    assert abs(receipt.recorded_at - datetime.now(UTC)) < timedelta(minutes=5)


async def test_nobody_has_a_receipt_without_an_append(store: EventStore) -> None:
    assert await store.receipt(KEY) is None
    assert await collected(store.all_receipts()) == []


async def test_all_receipts_come_in_the_order_of_their_keys(store: EventStore) -> None:
    keys = [UUID(int=number << 120 | number) for number in (7, 255, 0, 128, 127, 1, 16)]
    written: dict[UUID, Receipt] = {}
    for key in keys:
        written[key] = await store.append([fact()] if key.int % 2 else [], key=key)
    for batch_size in (1, 2, 6, 7, 8, 1000):
        read = await collected(store.all_receipts(batch_size=batch_size))
        assert read == [written[key] for key in sorted(keys)]


async def test_a_page_of_no_receipts_is_refused(store: EventStore) -> None:
    await store.append([], key=KEY)
    for batch_size in (0, -1):
        with pytest.raises(InvalidRequest, match="1 or more"):
            await collected(store.all_receipts(batch_size=batch_size))
