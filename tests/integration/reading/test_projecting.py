"""Projections on a real server: each event takes effect once, whatever ends the process that runs them."""

import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from eventstore import Event, Position
from eventstore.postgres import PostgresEventStore
from tests.integration.reading.projecting import (
    BALANCES,
    Projecting,
    book,
    booked,
    check_balances,
    closed,
    coordinating,
    keeps_up,
    moves_on,
    owner_of,
    reached,
    rows,
    totals_locked,
    waits_for_lock,
)
from tests.support.domains.ledger import balances, ledger, others
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.tcp_proxy import proxy
from worker.reading.lease import LEASE_SECONDS, TICK_SECONDS


async def test_what_was_recorded_and_what_follows_takes_effect_once(database: Database) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        for start in range(0, 6000, 1000):
            await store.append([booked(f"a{n % 17}") for n in range(start, start + 1000)])
        async with coordinating(database.url, ledger(balances, others)):
            await reached(database.url, await book(store, "a1", "new"))
            await check_balances(database.url)
            await store.append([closed("a1"), booked("a2"), closed("a2"), closed("new"), booked("new")])
            await reached(database.url, await book(store, "a1"))
            await check_balances(database.url)
            await reached(database.url, await book(store, "a1"), projection="ledger.others")
            assert len(await rows(database.url, "SELECT * FROM read_ledger.entry_numbers")) == 6009


async def test_events_that_do_not_concern_it_move_it_on(database: Database) -> None:
    async with (
        PostgresEventStore.connect(database.url) as store,
        coordinating(database.url, ledger(balances)),
    ):
        await book(store, "a")
        at = (await store.append([Event(type="Other", payload={})])).position
        await reached(database.url, at)
        assert await rows(database.url, "SELECT account, total FROM read_ledger.totals") == [("a", 1)]


async def test_a_process_that_is_killed_between_writing_and_commit_has_done_nothing(database: Database) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        async with Projecting.running(database.url) as first:
            await reached(database.url, await book(store, "a", "b"))
            async with totals_locked(database.admin_url):
                last = await book(store, "a", "c")
                await waits_for_lock(database.admin_url)
                await first.kill()
        async with Projecting.running(database.url):
            await reached(database.url, last)
            await check_balances(database.url)


@pytest.mark.parametrize("lost", [2, 3, 4, 5, 6])
async def test_an_answer_of_the_server_that_is_lost_repeats_nothing(database: Database, lost: int) -> None:
    async with (
        PostgresEventStore.connect(database.url) as store,
        proxy(database.url) as way,
        coordinating(database.url, ledger(balances), target=way.url) as coordinator,
    ):
        await reached(database.url, await book(store, "a", "b"))
        for _ in range(2):
            way.lose_answers(lost)
            await reached(database.url, await book(store, "a", "c"))
            await check_balances(database.url)
        assert coordinator.problems == {}


async def test_processes_that_are_killed_again_and_again_lose_nothing_and_repeat_nothing(database: Database) -> None:
    chance, enough = random.Random(7), asyncio.Event()  # noqa: S311  a test's
    async with PostgresEventStore.connect(database.url) as store:
        booking = asyncio.create_task(_book_until(store, database.url, enough))
        try:
            for _ in range(5):
                async with Projecting.running(database.url) as process:
                    await moves_on(database.url, "balances", by=chance.randrange(1, 60))
                    await process.kill()
        finally:
            enough.set()
        async with Projecting.running(database.url):
            await reached(database.url, await booking)
            await check_balances(database.url)


async def _book_until(store: PostgresEventStore, url: str, enough: asyncio.Event) -> Position:
    position = await book(store, "a")
    n = 0
    while not enough.is_set():
        n += 1
        position = await book(store, *[f"a{each % 5}" for each in range(n % 7 + 1)])
        if n % 20 == 0:
            await keeps_up(url, "balances", position.number, until=enough)
    return position


async def test_one_of_two_processes_projects_and_the_other_takes_over(database: Database) -> None:
    domain = ledger(balances)
    async with PostgresEventStore.connect(database.url) as store:
        async with coordinating(database.url, domain) as one, coordinating(database.url, domain) as two:

            async def one_has_it() -> bool:
                return len(one.running) + len(two.running) == 1

            await eventually(one_has_it, what="one of them to have the lease")
            for _ in range(5):
                await reached(database.url, await book(store, "a", "b"))
                assert await one_has_it()
            await check_balances(database.url)
        async with coordinating(database.url, domain):
            await reached(database.url, await book(store, "a"))
            await check_balances(database.url)


async def test_a_process_that_is_killed_is_replaced_when_its_lease_has_expired(database: Database) -> None:
    # The promise is five seconds. Not measured: a busy machine may take longer to let a process run at all.
    assert LEASE_SECONDS + 2 * TICK_SECONDS < 5
    async with PostgresEventStore.connect(database.url) as store, Projecting.running(database.url) as first:
        await reached(database.url, await book(store, "a"))
        before = await owner_of(database.admin_url)
        async with Projecting.running(database.url):
            await first.kill()

            async def is_replaced() -> bool:
                return await owner_of(database.admin_url) not in {before, None}

            await eventually(is_replaced, what="the other one to take over")
            await reached(database.url, await book(store, "a"))
            await check_balances(database.url)


@pytest.mark.parametrize("is_in_batch", [False, True])
async def test_a_process_that_was_frozen_writes_nothing_once_its_lease_was_taken(
    database: Database, *, is_in_batch: bool
) -> None:
    async with (
        PostgresEventStore.connect(database.url) as store,
        Projecting.running(database.url) as frozen,
    ):
        await reached(database.url, await book(store, "a"))
        before = await owner_of(database.admin_url)
        async with AsyncExitStack() as stack:
            if is_in_batch:
                await stack.enter_async_context(totals_locked(database.admin_url))
                await book(store, "a", "b")
                await waits_for_lock(database.admin_url)
            frozen.freeze()
            # The server then goes on with the statement, and waits for a process that says nothing.
        try:
            async with Projecting.running(database.url):
                await reached(database.url, await book(store, "a", "c"))
                assert await owner_of(database.admin_url) not in {before, None}
                await check_balances(database.url)
                frozen.thaw()
                for _ in range(10):
                    await reached(database.url, await book(store, "a", "d"))
                await check_balances(database.url)
                assert await owner_of(database.admin_url) != before
        finally:
            frozen.thaw()


async def test_the_tables_may_lie_in_another_database(database: Database, other: Database) -> None:
    async with (
        PostgresEventStore.connect(database.url) as store,
        coordinating(database.url, ledger(balances), target=other.url),
    ):
        await reached(other.url, await book(store, "a", "b"))
        await check_balances(other.url, log=database.url)
        assert await rows(database.admin_url, "SELECT to_regnamespace('read_ledger') IS NULL") == [(True,)]
        assert BALANCES == "ledger.balances"
