"""Connections that a sender keeps, and queues that fill up before them."""

import asyncio
from functools import partial
from uuid import uuid4

import pytest

from eventstore import START, Filter, Receipt, TransientStoreError
from eventstore.postgres import PostgresEventStore, batcher
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.connections.sticky_connection import StickyConnection
from eventstore.postgres.connections.translation import DRIVER_ERRORS
from tests.integration.eventstore.questions import ANY, counted, keys, of
from tests.integration.eventstore.staging import Connection, answered, connected, head_locked, terminate, waiting
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually


def primary(store: PostgresEventStore) -> Pool:
    return store._pools.primary


async def test_a_line_keeps_its_connection_while_nobody_else_wants_it(database: Database) -> None:
    async with PostgresEventStore.connect(database.url, pool_size=2) as store:
        sticky = StickyConnection(primary(store))
        kept = await sticky.take()
        await sticky.rest()
        assert await sticky.take() is kept
        await sticky.drop()


async def test_all_senders_get_their_turn_on_a_single_connection(database: Database) -> None:
    async with PostgresEventStore.connect(database.url, pool_size=1) as store, asyncio.timeout(30):
        position = (await store.append([counted("before")])).position

        async def work(number: int) -> None:
            key = uuid4()
            await store.append([counted(f"k{number}")], key=key)
            await store.query(of(f"k{number}"))
            await store.query(of(f"k{number}").narrowed_above(position.number), min_position=position)
            assert await store.receipt(key) is not None

        await asyncio.gather(*(work(number) for number in range(20)))
        assert primary(store).connections.get_size() == 1
        assert len((await store.query(ANY)).events) == 21


async def test_who_waits_for_a_connection_gets_the_next_that_comes_to_rest(database: Database) -> None:
    async with PostgresEventStore.connect(database.url, pool_size=1) as store:
        sticky = StickyConnection(primary(store))
        kept = await sticky.take()
        waiter = asyncio.create_task(primary(store).acquire())
        await _turns(5)
        assert primary(store).wanted
        assert not waiter.done()
        await kept.fetch("SELECT 1")
        await sticky.rest()
        async with asyncio.timeout(30):
            await primary(store).release(await waiter)


async def test_a_kept_connection_that_the_server_ends_is_replaced_unnoticed(
    database: Database, admin: Connection
) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        sticky = StickyConnection(primary(store))
        kept = await sticky.take()
        await sticky.rest()
        await terminate(admin, kept.get_server_pid())

        async def is_closed() -> bool:
            try:
                return kept.is_closed()
            except DRIVER_ERRORS:
                return True

        await eventually(is_closed, what="the client to see the end of the connection")
        ((one,),) = await sticky.fetch("SELECT 1", (), seconds=10)
        assert one == 1
        await sticky.drop()


async def test_no_line_stays_with_a_primary_that_is_left(database: Database) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        sticky = StickyConnection(primary(store))
        before = (await sticky.take()).get_server_pid()
        await sticky.rest()
        await store._pools.forget_primary()
        assert (await sticky.take()).get_server_pid() != before
        await sticky.drop()


async def test_a_statement_that_is_cancelled_leaves_no_connection_in_use(database: Database, admin: Connection) -> None:
    async with PostgresEventStore.connect(database.url, pool_size=1) as store:
        sticky = StickyConnection(primary(store))
        sleeping = asyncio.create_task(sticky.fetch("SELECT pg_sleep(60)", (), seconds=100))
        await eventually(lambda: _sleeps(admin), what="the statement to run")
        sleeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeping
        async with asyncio.timeout(30):
            assert keys(await store.query(ANY)) == []


async def _sleeps(admin: Connection) -> bool:
    found = await admin.fetch(
        "SELECT FROM pg_stat_activity"
        " WHERE datname = current_database() AND state = 'active' AND query = 'SELECT pg_sleep(60)'"
    )
    return len(found) == 1


async def test_appends_beyond_the_bound_wait_outside_and_come_in_turn(
    store: PostgresEventStore, database: Database, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batcher, "_MOST_WAITING", 8)
    async with PostgresEventStore.connect(database.url) as bounded:
        queue = bounded._appender._batches._queue
        async with head_locked(database.admin_url):
            first = asyncio.create_task(bounded.append([counted("first")]))
            await waiting(admin, 1)
            others = [asyncio.create_task(bounded.append([counted(f"k{number:02}")])) for number in range(30)]
            await _turns(10)
            # One is under way. Neither those outside nor the queue lose one that leaves.
            assert len(queue) == 7
            for leaves in (others[3], others[20]):
                leaves.cancel()
            await asyncio.wait([others[3], others[20]])
        stayed = [task for number, task in enumerate(others) if number not in {3, 20}]
        receipts = await asyncio.gather(first, *stayed)
        assert all(isinstance(receipt, Receipt) for receipt in receipts)
    expected = [f"k{number:02}" for number in range(30) if number not in {3, 20}]
    assert keys(await store.query(ANY)) == ["first", *expected]


async def test_appends_that_are_given_up_leave_the_queue(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    queue = store._appender._batches._queue
    async with head_locked(database.admin_url):
        first = asyncio.create_task(store.append([counted("first")]))
        await waiting(admin, 1)
        given_up = [asyncio.create_task(store.append([counted("a")])) for _ in range(20)]
        stays = asyncio.create_task(store.append([counted("stays")]))
        await _turns(5)
        assert len(queue) == 21
        for append in given_up:
            append.cancel()
        await asyncio.wait(given_up)
        assert len(queue) == 1
    await asyncio.gather(first, stays)
    assert keys(await store.query(ANY)) == ["first", "stays"]


@pytest.mark.parametrize("boundary", [of("a"), ANY], ids=["shared", "by itself"])
async def test_a_read_that_takes_too_long_on_a_server_that_answers_concerns_nobody_else(
    database: Database, boundary: Filter
) -> None:
    async with PostgresEventStore.connect(database.url, read_seconds=0.5) as store:
        async with connected(database.admin_url) as other, other.transaction():
            await other.execute("LOCK TABLE eventstore.events IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(TransientStoreError, match="took too long"):
                await store.query(boundary)
        assert keys(await answered(partial(store.query, boundary))) == []


async def test_queries_beyond_the_bound_wait_outside(
    database: Database, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batcher, "_MOST_WAITING", 8)
    async with PostgresEventStore.connect(database.url) as store:
        await store.append([counted("a")], boundary=of("a"), after=START)
        queue = store._reader._routing._servers[primary(store)].histories._queue
        async with connected(database.admin_url) as other, other.transaction():
            await other.execute("LOCK TABLE eventstore.events IN ACCESS EXCLUSIVE MODE")
            queries = [asyncio.create_task(store.query(of("a")))]
            await eventually(lambda: _locked_out(admin), what="the query to wait")
            queries += [asyncio.create_task(store.query(of("a"))) for _ in range(30)]
            await _turns(10)
            assert len(queue) == 7
        assert [keys(stream) for stream in await asyncio.gather(*queries)] == [["a"]] * 31


async def _locked_out(admin: Connection) -> bool:
    found = await admin.fetch(
        "SELECT FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%Purpose%'"
    )
    return len(found) == 1


async def _turns(count: int) -> None:
    """Let the loop turn, so that every task that can go on does."""
    for _ in range(count):
        await asyncio.sleep(0)
