"""Whose key a key is: one key in two scopes is two keys; a receipt without a scope is its domain's."""

from typing import Any
from uuid import UUID

import pytest

from eventstore import Append, EventStore, IdempotencyKeyReused, InvalidRequest, Outcome, OutcomeKind, Receipt
from tests.support.facts import ANY, about, collected, fact, matching

KEY, OTHER = UUID(int=1), UUID(int=2)
DIGEST = b"lend"


def of_domain(name: str) -> Outcome:
    """What a build without scopes says of a command."""
    return Outcome(kind=OutcomeKind.ACCEPTED, details={"domain": name})


async def test_one_key_in_two_scopes_is_two_keys(store: EventStore) -> None:
    found = [await store.append([fact(Book=scope)], key=KEY, scope=scope, digest=DIGEST) for scope in ("b", "a", "")]
    assert [(one.first, one.scope) for one in found] == [(1, "b"), (2, "a"), (3, "")]
    assert not any(one.duplicate for one in found)
    again = [await store.append([fact(Book=scope)], key=KEY, scope=scope, digest=DIGEST) for scope in ("b", "a", "")]
    assert again == [one.as_duplicate() for one in found]
    assert [await store.receipt(KEY, scope=scope) for scope in ("b", "a")] == found[:2]
    assert await store.receipt(KEY) == found[2]
    assert await store.receipt(KEY, scope="c") is None
    assert await store.receipts_of(KEY) == [found[2], found[1], found[0]]
    assert await store.receipts_of(OTHER) == []


async def test_receipts_are_looked_up_together(store: EventStore) -> None:
    first = await store.append([fact(Book="b")], key=KEY, scope="a")
    second = await store.append([], key=OTHER, scope="a")
    await store.append([], key=OTHER, scope="b")
    keys = [KEY, OTHER, UUID(int=3)]
    assert await store.receipts(keys, scope="a") == {KEY: first, OTHER: second}
    assert set(await store.receipts(keys, scope="b")) == {OTHER}
    assert await store.receipts(keys) == {}
    assert await store.receipts([], scope="a") == {}


async def test_all_receipts_come_in_the_order_of_their_keys_and_scopes(store: EventStore) -> None:
    written = [
        await store.append([], key=key, scope=scope) for key in (OTHER, KEY) for scope in ("b", "B", "a", "é", "")
    ]
    expected = sorted(written, key=lambda receipt: (receipt.key or KEY, receipt.scope.encode()))
    for batch_size in (1, 2, 3, 5, 1000):
        assert await collected(store.all_receipts(batch_size=batch_size)) == expected


async def test_a_chain_may_have_one_key_in_two_scopes(store: EventStore) -> None:
    chain = [
        Append(events=[fact(Book="b")], boundary=about(Book="b"), key=KEY, scope=scope, digest=DIGEST)
        for scope in ("a", "b", "a")
    ]
    found = await store.append_chain(chain)
    receipts = [one for one in found if isinstance(one, Receipt)]
    assert [(one.first, one.scope) for one in receipts] == [(1, "a"), (2, "b"), (1, "a")]
    assert [one.duplicate for one in receipts] == [False, False, True]
    assert await store.append_chain(chain) == [one.as_duplicate() for one in receipts]


async def test_a_receipt_without_a_scope_answers_in_the_scope_of_its_domain(store: EventStore) -> None:
    first = await store.append([fact(Book="b")], key=KEY, digest=DIGEST, outcome=of_domain("library"))
    assert await store.append([fact(Book="c")], key=KEY, scope="library", digest=DIGEST) == first.as_duplicate()
    assert await store.receipt(KEY, scope="library") == first
    with pytest.raises(IdempotencyKeyReused):
        await store.append([fact(Book="c")], key=KEY, scope="library", digest=b"return")
    assert await matching(store, ANY) == [1]


async def test_a_receipt_without_a_scope_does_not_answer_for_another_domain(store: EventStore) -> None:
    """The same message, sent to two domains, is two commands, although nothing in it differs."""
    await store.append([fact(Book="b")], key=KEY, digest=DIGEST, outcome=of_domain("library"))
    assert await store.receipt(KEY, scope="shop") is None
    second = await store.append([fact(Book="b")], key=KEY, scope="shop", digest=DIGEST)
    assert (second.first, second.duplicate) == (2, False)
    assert await store.receipt(KEY, scope="shop") == second
    assert len(await store.receipts_of(KEY)) == 2


async def test_of_a_receipt_without_scope_and_domain_the_digest_tells(store: EventStore) -> None:
    first = await store.append([fact(Book="b")], key=KEY, digest=DIGEST)
    assert await store.append([fact(Book="c")], key=KEY, scope="shop", digest=DIGEST) == first.as_duplicate()
    second = await store.append([fact(Book="c")], key=KEY, scope="shop", digest=b"return")
    assert (second.first, second.duplicate) == (2, False)


async def test_a_scoped_receipt_does_not_answer_without_the_scope(store: EventStore) -> None:
    await store.append([fact(Book="b")], key=KEY, scope="shop", digest=DIGEST)
    assert await store.receipt(KEY) is None
    assert not (await store.append([fact(Book="b")], key=KEY, digest=DIGEST)).duplicate


async def test_what_can_be_no_scope_is_refused(store: EventStore) -> None:
    scope: Any
    for scope in ("x" * 201, "a\0b", "\ud800", 7):
        with pytest.raises(InvalidRequest, match="scope"):
            await store.append([fact()], key=KEY, scope=scope)
        assert await matching(store, ANY) == [], scope


async def test_the_longest_scope_is_kept(store: EventStore) -> None:
    scope = "é" * 200
    receipt = await store.append([], key=KEY, scope=scope)
    assert await store.receipts_of(KEY) == [receipt]
    with pytest.raises(InvalidRequest, match="up to 200"):
        await store.receipt(KEY, scope=scope + "é")


async def test_a_receipt_of_another_request_is_not_found_by_the_digest(store: EventStore) -> None:
    key = KEY
    receipt = await store.append([], key=key, scope="library", digest=b"one")
    assert await store.receipt(key, scope="library", digest=b"one") == receipt
    assert await store.receipt(key, scope="library", digest=b"other") is None
