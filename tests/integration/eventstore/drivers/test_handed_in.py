"""Pools and engines that a program has already: used, given back as they were, and never closed."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import asyncpg
import psycopg_pool
import pytest
from sqlalchemy import text

from eventstore import START, ConcurrencyConflict, Consistency, Event, HoldExpired, StoreMisconfigured, StoreUnavailable
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.connections import pools, statement_watchdog
from eventstore.postgres.reads import replicas
from tests.integration.eventstore.questions import ANY, counted, keys, of
from tests.integration.eventstore.staging import Connection, connected, head_locked
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.stores import POOLS, handed_in
from tests.support.tcp_proxy import proxy

# Those of plpgsql appear with the first function that is called.
_SETTINGS = "SELECT name, setting, source FROM pg_settings WHERE name NOT LIKE 'plpgsql.%' ORDER BY name"
_OWN = "SET plan_cache_mode = force_custom_plan; SET statement_timeout = '59s'"
_END = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture(params=POOLS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def session(pool: Any) -> AsyncIterator[Any]:
    """A connection of a program's own, taken from its pool as the library says."""
    if isinstance(pool, asyncpg.Pool):
        async with pool.acquire() as connection:
            yield connection
    elif hasattr(pool, "getconn"):
        async with pool.connection() as connection:
            yield connection
    else:
        async with pool.connect() as connection:
            yield connection


async def asked(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    """What the program itself asks on it, by the library's own means."""
    if hasattr(connection, "fetch"):
        return [tuple(row) for row in await connection.fetch(sql)]
    if hasattr(connection, "exec_driver_sql"):
        return [tuple(row) for row in await connection.execute(text(sql))]
    return list(await (await connection.execute(sql)).fetchall())


async def changed(connection: Any) -> None:
    """Have a program set what the store sets as well."""
    if hasattr(connection, "fetch"):
        await connection.execute(_OWN)
    elif hasattr(connection, "exec_driver_sql"):
        for statement in _OWN.split(";"):
            await connection.execute(text(statement))
        await connection.commit()
    else:
        await connection.execute(_OWN)
        await connection.commit()


async def settings(pool: Any) -> Mapping[str, tuple[Any, ...]]:
    async with session(pool) as connection:
        return {row[0]: row[1:] for row in await asked(connection, _SETTINGS)}


async def used(store: PostgresEventStore) -> None:
    """Do all that takes a connection in a way of its own."""
    position = (await store.append([counted("a")], boundary=of("a"), after=START, key=uuid4())).position
    assert keys(await store.query(of("a"))) == ["a"]
    assert keys(await store.query(ANY)) == ["a"]
    assert [event.sequence_number async for event in store.read(ANY)] == [1]
    with pytest.raises(ConcurrencyConflict):
        await store.append([counted("a")], boundary=of("a"), after=START)
    async with store.exclusive() as held:
        assert held.position == position
    assert await store.receipts([uuid4()], scope="a") == {}


@pytest.mark.parametrize("own", [False, True], ids=["as the server has them", "set by the program"])
async def test_each_session_is_given_back_with_its_settings(database: Database, kind: str, *, own: bool) -> None:
    # What the program sees is what the store had. asyncpg's own reset would hide what is left behind.
    async with single(database, kind) as pool:
        if own:
            async with session(pool) as connection:
                await changed(connection)
        before = await settings(pool)
        assert before["plan_cache_mode"][0] == ("force_custom_plan" if own else "auto")
        async with PostgresEventStore.over(pool) as store:
            await used(store)
        after = await settings(pool)
    assert after == before


async def test_each_session_is_given_back_with_its_settings_however_a_call_ends(
    database: Database, admin: Connection, kind: str
) -> None:
    async with single(database, kind) as pool:
        before = await settings(pool)
        async with PostgresEventStore.over(pool) as store:

            async def hold() -> None:
                async with store.exclusive(patience=30.0):
                    raise AssertionError("the lock was free")

            async def outlived() -> None:
                async with store.exclusive(limit=0.1) as held:
                    await eventually(partial(_is_ended, admin), what="the server to end the hold")
                    await held.query_many([of("a")])

            async def cancelled(call: Coroutine[Any, Any, object]) -> None:
                calling = asyncio.create_task(call)
                await eventually(partial(_waits, admin), what="the call to wait")
                calling.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await calling

            async with connected(database.admin_url) as other, other.transaction():
                await other.execute("LOCK TABLE eventstore.events IN ACCESS EXCLUSIVE MODE")
                await cancelled(store.query(of("a")))
            async with head_locked(database.admin_url):
                await cancelled(hold())
            with pytest.raises(RuntimeError):
                async with store.exclusive():
                    raise RuntimeError
            with pytest.raises(HoldExpired):
                await outlived()
            async with head_locked(database.admin_url):
                await cancelled(store.append([counted("a")]))
            # What was sent goes on without its caller.
            assert len((await store.query(ANY)).events) <= 1
        assert await settings(pool) == before


async def _waits(admin: Connection) -> bool:
    return await _others(admin, "wait_event_type = 'Lock'") > 0


async def _is_ended(admin: Connection) -> bool:
    return await _others(admin, "state LIKE 'idle in transaction%'") == 0


async def _others(admin: Connection, condition: str) -> int:
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    return int(await admin.fetchval(f"{others} AND {condition}"))


def single(database: Database, kind: str) -> Any:
    """A pool of one connection, without a reset of its own."""
    if kind == "asyncpg.Pool":
        return asyncpg.create_pool(database.url, min_size=1, max_size=1, reset=_nothing)
    return handed_in(kind, database.url, size=1)


async def _nothing(_: object) -> None:
    return


async def test_the_store_has_its_settings_while_it_has_a_connection(database: Database, kind: str) -> None:
    async with handed_in(kind, database.url) as pool, PostgresEventStore.over(pool) as store:
        own = store._pools.primary
        connection = await own.acquire()
        ((mode, limit, name),) = await connection.fetch(
            "SELECT current_setting('plan_cache_mode'), current_setting('statement_timeout'), "
            "current_setting('application_name')"
        )
        assert (mode, limit) == ("force_generic_plan", "0")
        assert name.startswith("eventstore")
        await own.release(connection)


async def test_a_pool_outlives_the_store(database: Database, kind: str) -> None:
    async with handed_in(kind, database.url) as pool:
        for number in (1, 2):
            async with PostgresEventStore.over(pool) as store:
                assert (await store.append([counted("a")])).first == number
            async with session(pool) as connection:
                assert await asked(connection, "SELECT 1") == [(1,)]


async def test_a_program_gets_its_turn_on_its_only_connection(database: Database, kind: str) -> None:
    async with handed_in(kind, database.url, size=1) as pool, PostgresEventStore.over(pool) as store:
        done = asyncio.Event()

        async def work() -> int:
            count = 0
            while not done.is_set():
                await store.query(of("a"))
                count += 1
            return count

        async with asyncio.timeout(60):
            working = [asyncio.create_task(work()) for _ in range(4)]
            await store.append([counted("a")])
            for _ in range(3):
                async with session(pool) as connection:
                    assert await asked(connection, "SELECT 1") == [(1,)]
            done.set()
            assert min(await asyncio.gather(*working)) > 0


async def test_connections_that_ended_while_they_rested_are_replaced_unnoticed(
    database: Database, admin: Connection, kind: str
) -> None:
    async with handed_in(kind, database.url, size=3) as pool, PostgresEventStore.over(pool) as store:
        for number in range(1, 31):
            # A key: of one that the server ends while it is sent, nobody knows what became.
            assert (await store.append([counted("a")], key=uuid4())).first == number
            await admin.fetchval(_END)
            assert len((await store.query(ANY)).events) == number
            await admin.fetchval(_END)
            async with store.exclusive() as held:
                assert held.position.number == number
            await admin.fetchval(_END)


async def test_json_comes_as_it_is_whatever_a_program_makes_of_it(database: Database) -> None:
    async def init(connection: Any) -> None:
        for name in ("json", "jsonb"):
            await connection.set_type_codec(name, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")

    async with (
        asyncpg.create_pool(database.url, min_size=1, init=init) as pool,
        PostgresEventStore.over(pool) as store,
        PostgresEventStore.connect(database.url) as other,
    ):
        event = Event(type="Counted", payload={"key": 'a"\\é', "number": 10**20}, metadata={"m": [1]})
        key = uuid4()
        await store.append([event], key=key)
        assert (await store.query(ANY)).events == (await other.query(ANY)).events
        assert await store.receipt(key) == await other.receipt(key)
        with pytest.raises(ConcurrencyConflict):
            await store.append([event], boundary=ANY, after=START)


async def test_an_append_that_waits_for_its_turn_is_left_alone(
    database: Database, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = asyncio.Semaphore(0)
    works = statement_watchdog._works

    async def look(*arguments: Any) -> bool:
        found = await works(*arguments)
        looked.release()
        return found

    monkeypatch.setattr(statement_watchdog, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(statement_watchdog, "_works", look)
    # The only connection is the append's own: the one that asks is made beside it.
    async with handed_in(kind, database.url, size=1) as pool, PostgresEventStore.over(pool) as store:
        async with head_locked(database.admin_url):
            append = asyncio.create_task(store.append([counted("a")]))
            async with asyncio.timeout(60):
                await looked.acquire()
                await looked.acquire()
            assert not append.done()
        assert (await append).first == 1


async def test_reads_go_to_replicas_that_are_handed_in(database: Database, kind: str) -> None:
    async with (
        handed_in(kind, database.url) as pool,
        handed_in(kind, database.replica_urls[0]) as replica,
        PostgresEventStore.over(pool, replicas=[replica]) as store,
    ):
        await store.append([counted("a")])

        async def answered() -> bool:
            return (await store.query(ANY, consistency=Consistency.EVENTUAL)).replica

        await eventually(answered, what="the replica to answer")


@asynccontextmanager
async def unopened(kind: str, url: str) -> AsyncIterator[Any]:
    """A pool that opens no connection by itself, or an engine."""
    async with AsyncExitStack() as stack:
        match kind:
            case "asyncpg.Pool":
                pool: Any = asyncpg.create_pool(url, min_size=1)
                stack.callback(pool.terminate)
            case "AsyncConnectionPool":
                pool = psycopg_pool.AsyncConnectionPool(url, min_size=1, open=False)
                stack.push_async_callback(pool.close)
            case _:
                pool = await stack.enter_async_context(handed_in(kind, url))
        yield pool


async def test_a_replica_that_is_down_at_first_answers_once_it_is_up(
    database: Database, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "_LOOK_SECONDS", 1.0)
    async with proxy(database.replica_urls[0]) as way:
        way.stop()
        async with (
            handed_in(kind, database.url) as pool,
            unopened(kind, way.url) as replica,
            PostgresEventStore.over(pool, replicas=[replica]) as store,
        ):
            await store.append([counted("a")])
            assert not (await store.query(ANY, consistency=Consistency.EVENTUAL)).replica
            await way.start()

            async def answered() -> bool:
                return (await store.query(ANY, consistency=Consistency.EVENTUAL)).replica

            await eventually(answered, what="the replica to answer")


async def test_a_silent_replica_holds_up_the_start_for_a_limited_time(
    database: Database, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_OPEN_SECONDS", 1.0)
    monkeypatch.setattr(replicas, "_LOOK_SECONDS", 0.1)
    async with proxy(database.replica_urls[0]) as silent:
        silent.hold()
        async with (
            handed_in(kind, database.url) as pool,
            unopened(kind, silent.url) as replica,
            asyncio.timeout(30),  # half of what a driver waits for a connection by itself
            PostgresEventStore.over(pool, replicas=[replica]) as store,
        ):
            await store.append([counted("a")])
            assert len((await store.query(ANY)).events) == 1


async def test_a_standby_is_no_primary(database: Database, kind: str) -> None:
    async with handed_in(kind, database.replica_urls[0]) as pool:
        with pytest.raises(StoreUnavailable, match="accepts no writes"):
            await PostgresEventStore.over(pool)


async def test_a_pool_that_cannot_connect_is_told_with_its_reason(
    database: Database, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_OPEN_SECONDS", 1.0)
    wrong = database.url.replace("://worker:", "://worker:not", 1)
    async with AsyncExitStack() as stack:
        if kind == "asyncpg.Pool":
            pool: Any = asyncpg.create_pool(wrong, min_size=0)
            stack.push_async_callback(pool.close)
        else:
            pool = await stack.enter_async_context(handed_in(kind, wrong))
        with pytest.raises((StoreMisconfigured, StoreUnavailable), match="password authentication failed"):
            await PostgresEventStore.over(pool)


@pytest.mark.parametrize("wrong", ["postgresql://localhost/a", None, object()])
async def test_what_is_no_pool_is_refused(wrong: object) -> None:
    with pytest.raises(StoreMisconfigured, match=r"cannot be handed in: it must be an asyncpg\.Pool"):
        await PostgresEventStore.over(wrong)
