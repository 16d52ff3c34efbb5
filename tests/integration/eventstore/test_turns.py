"""Appends that take their turn late: the test holds the head's lock, and lets go when all have gathered."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from eventstore import START, ConcurrencyConflict
from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.questions import ANY, counted, keys, numbers, of
from tests.integration.eventstore.staging import Connection, head_locked, waiting
from tests.support.fixtures.databases import Database

Stores = Callable[[int], Awaitable[list[PostgresEventStore]]]


async def test_a_boundary_of_two_keys_never_misses_the_append_that_came_late(
    stores: Stores, database: Database, admin: Connection
) -> None:
    late, early, both = await stores(3)
    async with head_locked(database.admin_url):
        first = asyncio.create_task(late.append([counted("X")], boundary=of("X"), after=START))
        await waiting(admin, 1)
        second = asyncio.create_task(early.append([counted("Y")], boundary=of("Y"), after=START))
        await waiting(admin, 2)
        read = await both.query(of("X", "Y"))
        assert (read.events, read.position) == ((), START)
        third = asyncio.create_task(both.append([counted("X")], boundary=of("X", "Y"), after=read.position))
        await waiting(admin, 3)
    # In whatever order they take their turns: the third is judged by what came before it.
    receipts = {(await first).first, (await second).first}
    with pytest.raises(ConcurrencyConflict) as conflict:
        await third
    assert conflict.value.sequence_number == 1
    assert receipts == {1, 2}
    again = await both.query(of("X", "Y"))
    assert (numbers(again), again.position.number) == ([1, 2], 2)
    assert (await both.append([counted("X")], boundary=of("X", "Y"), after=again.position)).first == 3


async def test_whoever_read_between_two_commits_is_told_of_the_second(
    stores: Stores, database: Database, admin: Connection
) -> None:
    late, early, both = await stores(3)
    await early.append([counted("Y")], boundary=of("Y"), after=START)
    read = await both.query(of("X", "Y"))
    assert numbers(read) == [1]
    async with head_locked(database.admin_url):
        # Its position is the same, its number will be higher: numbers are given under the lock, not when it is sent.
        first = asyncio.create_task(late.append([counted("X")], boundary=of("X"), after=read.position))
        await waiting(admin, 1)
        assert numbers(await both.query(of("X", "Y"))) == [1]
    assert (await first).first == 2
    with pytest.raises(ConcurrencyConflict) as conflict:
        await both.append([counted("Y")], boundary=of("X", "Y"), after=read.position)
    assert conflict.value.sequence_number == 2


async def test_an_append_that_fails_uses_up_no_number(stores: Stores, database: Database, admin: Connection) -> None:
    one, other = await stores(2)
    async with head_locked(database.admin_url):
        doomed = asyncio.create_task(one.append([counted("X")], boundary=of("X"), after=START))
        winner = asyncio.create_task(other.append([counted("X")], boundary=of("X"), after=START))
        await waiting(admin, 2)
    results = await asyncio.gather(doomed, winner, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["ConcurrencyConflict", "Receipt"]
    assert (await one.append([counted("Z")])).first == 2
    assert numbers(await one.query(ANY)) == [1, 2]


async def test_appends_of_one_store_that_gather_meanwhile_share_one_turn(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    async with head_locked(database.admin_url):
        appends = [asyncio.create_task(store.append([counted("k0")]))]
        await waiting(admin, 1)
        appends += [asyncio.create_task(store.append([counted(f"k{n}")])) for n in range(1, 20)]
        await waiting(admin, 1)
    receipts = await asyncio.gather(*appends)
    assert [receipt.first for receipt in receipts] == list(range(1, 21))
    assert keys(await store.query(ANY)) == [f"k{n}" for n in range(20)]
    # The first was on its way when the others came; these were one transaction, which the token shows.
    first, *others = [event.token for event in (await store.query(ANY)).events]
    assert len(set(others)) == 1
    assert first not in others
