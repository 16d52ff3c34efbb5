"""The drivers that the store has a choice of, each with what it must do as asyncpg does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from uuid import uuid4

import pytest

from eventstore import (
    ConcurrencyConflict,
    EventStoreError,
    OutcomeUnknown,
    Receipt,
    StoreMisconfigured,
    StoreUnavailable,
    TransientStoreError,
)
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.connections.address import Address
from eventstore.postgres.connections.confirmation import confirmed
from eventstore.postgres.connections.dialing import Dialer
from eventstore.postgres.drivers.choice import DriverName, driver_named
from eventstore.postgres.drivers.errors import DRIVER_ERRORS, ended_by, sqlstate_of
from eventstore.postgres.drivers.protocol import Connection
from tests.integration.eventstore.questions import ANY, counted, keys, numbers, of
from tests.integration.eventstore.staging import Connection as Admin
from tests.integration.eventstore.staging import answered, connected, head_locked, terminate, waiting
from tests.support.fixtures.databases import Database
from tests.support.fixtures.ports import free_port
from tests.support.fixtures.waiting import eventually
from tests.support.stores import DRIVERS
from tests.support.tcp_proxy import proxy

_SLEEP = "SELECT pg_sleep(60)"
_SLEEPERS = (
    f"SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query = '{_SLEEP}'"
)


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> DriverName:
    return request.param  # type: ignore[no-any-return]  # pytest knows no types


@pytest.fixture
async def session(database: Database, driver: DriverName) -> AsyncIterator[Connection]:
    """A connection of a driver's."""
    dialer = Dialer(Address.of(database.url), driver=driver_named(driver), purpose="test")
    connection = await dialer.dial()
    yield connection
    await connection.close(timeout=5)


async def test_of_racers_on_one_boundary_exactly_one_wins_each_round(database: Database, driver: DriverName) -> None:
    async with AsyncExitStack() as stack:
        racers = [
            await stack.enter_async_context(PostgresEventStore.connect(database.url, driver=driver, pool_size=1))
            for _ in range(8)
        ]
        position = (await racers[0].query(ANY)).position
        for turn in range(25):
            found = await asyncio.gather(
                *(one.append([counted("prize")], boundary=of("prize"), after=position) for one in racers),
                return_exceptions=True,
            )
            (winner,) = [each for each in found if isinstance(each, Receipt)]
            assert winner.first == turn + 1
            assert sum(isinstance(each, ConcurrencyConflict) for each in found) == 7
            position = winner.position
        assert numbers(await racers[0].query(ANY)) == list(range(1, 26))


async def test_racers_on_different_drivers_meet_in_the_database(database: Database) -> None:
    async with AsyncExitStack() as stack:
        racers = [
            await stack.enter_async_context(PostgresEventStore.connect(database.url, driver=name))  # type: ignore[arg-type]  # a name
            for name in (*DRIVERS, *DRIVERS)
        ]
        position = (await racers[0].query(ANY)).position
        for _ in range(25):
            found = await asyncio.gather(
                *(one.append([counted("prize")], boundary=of("prize"), after=position) for one in racers),
                return_exceptions=True,
            )
            (winner,) = [each for each in found if isinstance(each, Receipt)]
            position = winner.position


async def test_values_come_as_they_were_sent(session: Connection) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=timezone(timedelta(hours=5)))
    key = uuid4()
    (row,) = await session.fetch(
        "SELECT $1::text AS words, $2::bigint AS number, $3::boolean AS truth, $4::bytea AS bytes, "
        "$5::timestamptz AS at, $6::uuid AS id, $7::text[] AS texts, $8::bigint[] AS numbers, "
        "$9::bytea[] AS all_bytes, $10::uuid[] AS ids, "
        "$11::text::jsonb AS json, $12::text AS nothing, '{1,NULL}'::bigint[] AS some",
        'a"\\é\n{}',
        2**62,
        True,
        b"\x00\xff\\",
        moment,
        key,
        ['a"\\,{}', None, "NULL", ""],
        (1, -(2**63)),
        [b"\x00", b""],
        [key, None],
        '{"a": 1.10}',
        None,
    )
    assert row["words"] == row[0] == 'a"\\é\n{}'
    assert (row["number"], row["truth"], row["bytes"]) == (2**62, True, b"\x00\xff\\")
    assert row["at"] == moment
    assert row["at"].tzinfo == UTC
    assert (row["id"], row["texts"]) == (key, ['a"\\,{}', None, "NULL", ""])
    assert (row["numbers"], row["all_bytes"], row["ids"]) == ([1, -(2**63)], [b"\x00", b""], [key, None])
    assert (row["json"], row["nothing"], row["some"]) == ('{"a": 1.10}', None, [1, None])
    assert len(row) == len(list(row.keys())) == len(tuple(row)) == 13
    assert dict(row)["id"] == key


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT 1/0", "22012"),
        ("SELECT FROM nowhere", "42P01"),
        ("DO $$ BEGIN RAISE 'told' USING ERRCODE = 'ES002'; END $$", "ES002"),
    ],
)
async def test_the_server_says_by_a_code_what_is_wrong(session: Connection, sql: str, code: str) -> None:
    with pytest.raises(DRIVER_ERRORS) as raised:
        await session.fetch(sql)
    assert sqlstate_of(raised.value) == code
    ((one,),) = await session.fetch("SELECT 1")
    assert one == 1


async def test_a_statement_that_failed_has_rows_the_next_time(session: Connection) -> None:
    await session.execute("BEGIN; SET LOCAL statement_timeout = 1")
    with pytest.raises(DRIVER_ERRORS):
        await session.fetch("SELECT pg_sleep(current_setting('test.seconds')::float) AS slept", timeout=30)
    await session.execute("ROLLBACK")
    await session.execute("SET test.seconds = 0")
    (row,) = await session.fetch("SELECT pg_sleep(current_setting('test.seconds')::float) AS slept")
    assert list(row.keys()) == ["slept"]


async def test_a_warning_beside_a_commit_is_seen(session: Connection) -> None:
    with pytest.raises(OutcomeUnknown, match=r"its standby: .*committed locally"), confirmed(session):
        await session.execute("DO $$ BEGIN RAISE WARNING 'committed locally'; END $$")
    with confirmed(session):
        await session.execute("DO $$ BEGIN RAISE NOTICE 'of no account'; END $$")


async def test_a_statement_that_takes_too_long_is_given_up(
    database: Database, driver: DriverName, admin: Admin
) -> None:
    async with PostgresEventStore.connect(database.url, driver=driver, pool_size=1, read_seconds=0.5) as store:
        async with connected(database.admin_url) as other, other.transaction():
            await other.execute("LOCK TABLE eventstore.events IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(TransientStoreError, match="took too long"):
                await store.query(of("a"))
            # Nor does the server go on with it.
            await eventually(lambda: _is_quiet(admin), what="the server to give the statement up")
        assert keys(await answered(partial(store.query, of("a")))) == []


async def _is_quiet(admin: Admin) -> bool:
    found = await admin.fetch(
        "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    return not found


async def test_a_statement_that_is_cancelled_is_given_up_by_the_server(session: Connection, admin: Admin) -> None:
    asking = asyncio.create_task(session.fetch(_SLEEP))
    await eventually(lambda: _count(admin, 1), what="the statement to run")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await eventually(lambda: _count(admin, 0), what="the server to give it up")


async def _count(admin: Admin, count: int) -> bool:
    return len(await admin.fetch(_SLEEPERS)) == count


async def test_a_connection_is_ended_under_a_statement(session: Connection, admin: Admin) -> None:
    asking = asyncio.create_task(session.fetch(_SLEEP))
    await eventually(lambda: _count(admin, 1), what="the statement to run")
    session.terminate()
    with pytest.raises(DRIVER_ERRORS):
        async with asyncio.timeout(30):
            await asking
    assert session.is_closed()


async def test_a_connection_that_the_server_ends_while_it_rests_is_known_to_have_ended(
    session: Connection, admin: Admin
) -> None:
    await session.fetch("SELECT 1")
    assert not session.is_closed()
    await terminate(admin, session.get_server_pid())

    async def is_closed() -> bool:
        return session.is_closed()

    await eventually(is_closed, what="its end to be seen")


@pytest.mark.parametrize("driver", ["psycopg"])
async def test_why_the_server_has_ended_a_transaction_is_known(session: Connection, admin: Admin) -> None:
    """Asyncpg tells it only to who is sending by then; psycopg to who sends later."""
    await session.execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 50")
    assert session.is_in_transaction()
    process = session.get_server_pid()

    async def is_gone() -> bool:
        return not await admin.fetch("SELECT FROM pg_stat_activity WHERE pid = $1", process)

    await eventually(is_gone, what="the server to end it")
    with pytest.raises(DRIVER_ERRORS) as raised:
        await session.execute("COMMIT")
    assert "25P03" in {sqlstate_of(raised.value), ended_by(raised.value)}


async def test_an_append_outlives_its_connection(
    store: PostgresEventStore, database: Database, driver: DriverName, admin: Admin
) -> None:
    async with PostgresEventStore.connect(database.url, driver=driver) as other:
        async with head_locked(database.admin_url):
            append = asyncio.create_task(other.append([counted("a")], key=uuid4()))
            (first,) = await waiting(admin, 1)
            await terminate(admin, first)
            await waiting(admin, 1, besides=(first,))
        assert (await append).first == 1
        async with head_locked(database.admin_url):
            append = asyncio.create_task(other.append([counted("b")]))
            (second,) = await waiting(admin, 1)
            await terminate(admin, second)
            with pytest.raises(OutcomeUnknown):
                await append
        assert keys(await store.query(ANY)) in (["a"], ["a", "b"])


async def test_a_read_of_a_silent_server_ends_in_time(database: Database, driver: DriverName) -> None:
    async with (
        proxy(database.url) as way,
        PostgresEventStore.connect(way.url, driver=driver, read_seconds=0.5) as store,
    ):
        await answered(partial(store.query, of("a")))
        way.discard_traffic()
        async with asyncio.timeout(30):
            with pytest.raises(EventStoreError):
                await store.query(of("a"))


async def test_a_server_that_refuses_says_why(database: Database, driver: DriverName) -> None:
    wrong = database.url.replace("://worker:", "://worker:not", 1)
    with pytest.raises(StoreMisconfigured, match="refuses this password") as raised:
        await PostgresEventStore.connect(wrong, driver=driver)
    assert raised.value.code == "28P01"
    with pytest.raises(StoreMisconfigured, match="does not exist"):
        await PostgresEventStore.connect(database.url + "_nowhere", driver=driver)
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await PostgresEventStore.connect(f"postgresql://a:b@127.0.0.1:{free_port()}/a", driver=driver)


@pytest.mark.parametrize("driver", ["sqlalchemy"])
async def test_an_engine_does_not_wait_for_connections_that_are_to_be_replaced(
    database: Database, driver: DriverName
) -> None:
    """It would take leave of each, for two seconds if their server is silent, before it makes a new one."""
    async with PostgresEventStore.connect(database.url, driver=driver) as store:
        pool = store._pools.primary
        first, *others = [await pool.acquire() for _ in range(3)]
        for connection in others:
            await pool.release(connection)
        await pool.renew()
        await pool.release(first)
        assert [connection.is_closed() for connection in (first, *others)] == [True] * 3
        again = await pool.acquire()
        assert not again.is_closed()
        await pool.release(again)
