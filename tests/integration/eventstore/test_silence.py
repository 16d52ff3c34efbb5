"""A network that drops what is sent, and a server that only takes its time."""

import asyncio
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from eventstore import OutcomeUnknown
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.connections import statement_watchdog
from eventstore.postgres.reads.coalescer import Coalescer
from tests.integration.eventstore.questions import ANY, counted, keys, of
from tests.integration.eventstore.staging import Connection, head_locked, waiting
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.tcp_proxy import proxy


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement_watchdog, "_PATIENCE_SECONDS", 0.2)


async def test_an_append_on_a_connection_that_went_silent_is_sent_again_on_another(
    store: PostgresEventStore, database: Database
) -> None:
    async with proxy(database.url) as way, PostgresEventStore.connect(way.url) as distant:
        await distant.append([counted("before")])
        way.discard_traffic()
        key = uuid4()
        async with asyncio.timeout(60):
            receipt = await distant.append([counted("a")], key=key)
            assert receipt.first == 2
            way.discard_traffic()
            with pytest.raises(OutcomeUnknown):
                await distant.append([counted("b")])
        assert (await store.receipt(key)) == receipt


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> asyncio.Semaphore:
    """Counts how often the server was asked whether it works at an append."""
    looks = asyncio.Semaphore(0)
    works = statement_watchdog._works

    async def look(*arguments: object) -> bool:
        found = await works(*arguments)  # type: ignore[arg-type]  # it passes on what it is given
        looks.release()
        return found

    monkeypatch.setattr(statement_watchdog, "_works", look)
    return looks


@pytest.mark.parametrize("pool_size", [1, 10])
async def test_an_append_that_waits_for_its_turn_is_left_alone(
    database: Database, admin: Connection, looks: asyncio.Semaphore, pool_size: int
) -> None:
    # The only connection of a small pool is the append's own: it cannot be the one that asks.
    async with PostgresEventStore.connect(database.url, pool_size=pool_size) as store:
        async with head_locked(database.admin_url):
            append = asyncio.create_task(store.append([counted("a")]))
            (process,) = await waiting(admin, 1)
            for _ in range(3):
                await looks.acquire()
            assert await waiting(admin, 1) == (process,)
        assert (await append).first == 1
        assert keys(await store.query(ANY)) == ["a"]


async def test_a_server_that_has_no_connection_left_is_not_silent(
    store: PostgresEventStore, database: Database, admin: Connection, looks: asyncio.Semaphore
) -> None:
    async with head_locked(database.admin_url):
        append = asyncio.create_task(store.append([counted("a")]))
        (process,) = await waiting(admin, 1)
        await admin.execute(f'ALTER DATABASE "{await admin.fetchval("SELECT current_database()")}" CONNECTION LIMIT 1')
        for _ in range(3):
            await looks.acquire()
        assert await waiting(admin, 1) == (process,)
    assert (await append).first == 1


async def test_a_store_is_closed_while_a_read_gets_no_answer(database: Database) -> None:
    async with proxy(database.url) as way, AsyncExitStack() as opened:
        store = await opened.enter_async_context(PostgresEventStore.connect(way.url, read_seconds=600))
        await store.query(of("a"))
        way.discard_traffic()
        query = asyncio.create_task(store.query(of("a")))
        reads = store._reader._routing._servers[store._pools.primary].histories
        await eventually(lambda: _is_sending(reads), what="the query to be sent")
        query.cancel()
        async with asyncio.timeout(30):
            await opened.aclose()


async def _is_sending(reads: Coalescer) -> bool:
    return reads._sender is not None and not reads._queue
