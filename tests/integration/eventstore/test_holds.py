"""Holding the store's lock on real servers: frozen holders, killed ones, broken connections, few of them, rights."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import uuid4

import asyncpg
import pytest

from eventstore import Append, Filter, HoldExpired, InvalidRequest, LockNotAcquired, Position, Receipt
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.appends.held_transaction import HeldTransaction
from tests.integration.eventstore.questions import ANY, counted, keys, of
from tests.integration.eventstore.staging import Connection, connected, head_locked, terminate, waiting
from tests.support.fixtures.databases import Database
from tests.support.tcp_proxy import Proxy, proxy

# Long enough to be looked at while it lasts.
LIMIT = 3.0
# What a test may take under the lock on a busy machine.
LONG = 10.0
# How much later than its bound a hold's end may be seen on a busy machine; a client alone would never end it.
SLACK = 4.0
_HOLD = """
import asyncio, sys
from eventstore import Append
from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.questions import counted
from uuid import UUID

async def hold():
    async with PostgresEventStore.connect(sys.argv[1]) as store, store.exclusive(limit=float(sys.argv[2])) as held:
        await held.query_many([])
        print("holds", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await held.append_chain([Append(events=[counted("frozen")], key=UUID(int=7))])

asyncio.run(hold())
"""


def link(key: str, *, boundary: Filter | None = None, after: Position | None = None) -> Append:
    return Append(events=[counted(key)], boundary=boundary, after=after, key=uuid4())


@asynccontextmanager
async def holder(database: Database, limit: float) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program that has the lock, and appends when it is told to."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _HOLD,
        database.url,
        str(limit),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"holds\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def now(admin: Connection) -> datetime:
    moment: datetime = await admin.fetchval("SELECT clock_timestamp()")
    return moment


async def test_a_frozen_holder_delays_others_by_no_more_than_the_bound(
    database: Database, store: PostgresEventStore, admin: Connection
) -> None:
    async with holder(database, LIMIT) as process:
        process.send_signal(signal.SIGSTOP)
        began = await admin.fetchval(
            "SELECT min(xact_start) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
        )
        assert began is not None
        assert (await store.append([counted("another")])).first == 1
        # By the server's clock: from the holder's beginning, its wait for the lock included.
        assert ((await now(admin)) - began).total_seconds() < LIMIT + SLACK
        process.send_signal(signal.SIGCONT)
        _, complaint = await process.communicate(b"go on\n")
        assert process.returncode == 1
        assert b"HoldExpired" in complaint
    assert keys(await store.query(ANY)) == ["another"]
    assert [receipt async for receipt in store.all_receipts()] == []


async def test_a_holder_that_dies_lets_go(database: Database, store: PostgresEventStore, admin: Connection) -> None:
    async with holder(database, LONG) as process:
        appending = asyncio.create_task(store.append([counted("another")]))
        await waiting(admin, 1)
        process.kill()
        assert (await appending).first == 1
    assert keys(await store.query(ANY)) == ["another"]


async def test_a_broad_boundary_has_its_turn_beside_narrow_ones(database: Database, store: PostgresEventStore) -> None:
    every = Filter.matching().any_event_type_of("Counted")
    done, started = asyncio.Event(), asyncio.Barrier(5)

    async def count(key: str) -> int:
        async with PostgresEventStore.connect(database.url, pool_size=2) as narrow:
            await started.wait()
            turns = 0
            while not done.is_set():
                await narrow.append([counted(key)])
                turns += 1
            return turns

    counting = [asyncio.create_task(count(f"k{n}")) for n in range(4)]
    try:
        await started.wait()
        for _ in range(5):
            seen = (await store.append([counted("here")])).position
            async with store.exclusive(limit=LONG, patience=LONG) as held:
                (stream,) = await held.query_many([every], after=[seen])
                (answer,) = await held.append_chain([link("broad", boundary=every, after=stream.position)])
            assert isinstance(answer, Receipt)
            assert answer.first == stream.position.number + 1
    finally:
        done.set()
        turns = await asyncio.gather(*counting)
    assert min(turns) > 0
    assert len((await store.query(of("broad"))).events) == 5


async def test_whoever_waits_for_the_lock_is_told_when_it_takes_too_long(
    database: Database, store: PostgresEventStore
) -> None:
    async with head_locked(database.admin_url):
        with pytest.raises(LockNotAcquired, match=r"the lock was not free within 0.05 s") as refusal:
            async with store.exclusive(patience=0.05):
                raise AssertionError
        assert refusal.value.code == "55P03"
    async with store.exclusive(limit=LONG) as held:
        assert isinstance((await held.append_chain([link("a")]))[0], Receipt)


async def test_a_holder_that_the_server_ends_has_recorded_nothing(store: PostgresEventStore, admin: Connection) -> None:
    for _ in range(2):
        async with store.exclusive(limit=LONG) as held:
            pid = await admin.fetchval(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
            )
            await terminate(admin, pid)
            with pytest.raises(HoldExpired):
                await held.append_chain([link("lost")])
    assert keys(await store.query(ANY)) == []
    assert (await store.append([counted("a")])).first == 1


async def test_an_idle_connection_that_the_server_has_ended_is_no_obstacle(
    store: PostgresEventStore, admin: Connection
) -> None:
    for _ in range(5):
        async with store.exclusive(limit=LONG) as held:
            assert isinstance((await held.append_chain([link("a")]))[0], Receipt)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert len((await store.query(ANY)).events) == 5


@pytest.fixture
async def way(database: Database) -> AsyncIterator[Proxy]:
    async with proxy(database.url) as way:
        yield way


async def test_a_commit_whose_answer_is_lost_is_answered_from_the_receipts(
    way: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = HeldTransaction._commit

    async def lost(transaction: HeldTransaction) -> None:
        way.lose_answers()
        await commit(transaction)

    monkeypatch.setattr(HeldTransaction, "_commit", lost)
    async with PostgresEventStore.connect(way.url) as store:
        async with store.exclusive(limit=LONG) as held:
            chain = [link("a", boundary=of("a")), link("a", boundary=of("a")), link("b")]
            found = await held.append_chain(chain)
        assert way.cuts == 1
        receipts = [one for one in found if isinstance(one, Receipt)]
        assert [(one.first, one.duplicate) for one in receipts] == [(1, True), (2, True), (3, True)]
        assert keys(await store.query(ANY)) == ["a", "a", "b"]


async def test_a_commit_that_did_not_arrive_is_sent_once_more(way: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = HeldTransaction._commit

    async def lost(transaction: HeldTransaction) -> None:
        way.cut()
        await commit(transaction)

    monkeypatch.setattr(HeldTransaction, "_commit", lost)
    async with PostgresEventStore.connect(way.url) as store:
        async with store.exclusive(limit=LONG) as held:
            found = await held.append_chain([link("a", boundary=of("a")), link("a", boundary=of("a"))])
        receipts = [one for one in found if isinstance(one, Receipt)]
        assert [(one.first, one.duplicate) for one in receipts] == [(1, False), (2, False)]
        assert keys(await store.query(ANY)) == ["a", "a"]


async def test_a_lost_answer_before_the_commit_means_that_nothing_happened(way: Proxy) -> None:
    async with PostgresEventStore.connect(way.url) as store:
        async with store.exclusive(limit=LONG) as held:
            way.lose_answers()
            with pytest.raises(HoldExpired):
                await held.append_chain([link("a")])
        assert keys(await store.query(ANY)) == []


async def test_a_value_that_the_server_refuses_fails_its_own_append(store: PostgresEventStore) -> None:
    chain = [link("a"), link("bad"), link("c")]
    object.__setattr__(chain[1].events[0], "payload_text", "[]")
    async with store.exclusive(limit=LONG) as held:
        found = await held.append_chain(chain)
    assert [type(one) for one in found] == [Receipt, InvalidRequest, Receipt]
    assert keys(await store.query(ANY)) == ["a", "c"]


async def test_a_commit_goes_on_when_its_caller_leaves(
    database: Database, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, commits, go_on = HeldTransaction._commit, asyncio.Event(), asyncio.Event()

    async def staged(transaction: HeldTransaction) -> None:
        commits.set()
        await go_on.wait()
        await commit(transaction)

    monkeypatch.setattr(HeldTransaction, "_commit", staged)

    async def leave() -> None:
        async with PostgresEventStore.connect(database.url) as leaving:

            async def append() -> None:
                async with leaving.exclusive(limit=LONG) as held:
                    await held.append_chain([link("a")])

            appending = asyncio.create_task(append())
            await commits.wait()
            appending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await appending
            go_on.set()

    await leave()
    assert keys(await store.query(ANY)) == ["a"]


async def test_one_connection_is_enough(database: Database) -> None:
    async with PostgresEventStore.connect(database.url, pool_size=1) as store:

        async def hold(key: str) -> None:
            async with store.exclusive(limit=LONG, patience=LONG) as held:
                await held.query_many([of(key)])
                await held.append_chain([link(key)])

        await asyncio.gather(
            *(hold(f"held {n}") for n in range(4)),
            *(store.append([counted(f"k{n}")]) for n in range(8)),
            *(store.append_chain([link(f"c{n}")]) for n in range(4)),
            *(store.query(ANY) for _ in range(4)),
        )
        assert len((await store.query(ANY)).events) == 16


async def test_the_runtime_role_may_hold_the_lock_and_not_take_it_by_itself(
    runtime: Connection, admin: Connection
) -> None:
    for attempt in ("SELECT FROM eventstore.store FOR UPDATE", "LOCK TABLE eventstore.store IN ROW SHARE MODE"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with runtime.transaction():
                await runtime.execute(attempt)
    async with runtime.transaction():
        assert tuple(await runtime.fetchrow("SELECT * FROM eventstore.hold_v1(1000, 10000)") or ()) == (0, 0)
        with pytest.raises(asyncpg.LockNotAvailableError):
            await admin.execute("SELECT FROM eventstore.store FOR UPDATE NOWAIT")
    acl = "SELECT has_function_privilege('public', 'eventstore.hold_v1(integer, integer)', 'EXECUTE')"
    assert await admin.fetchval(acl) is False


async def test_a_hold_leaves_no_setting_in_its_session(database: Database) -> None:
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")
    async with connected(database.url) as session:
        before = [await session.fetchval("SELECT current_setting($1, true)", name) for name in names]
        async with session.transaction():
            await session.fetch("SELECT * FROM eventstore.hold_v1(1000, 10000)")
            inside = [await session.fetchval("SELECT current_setting($1, true)", name) for name in names]
        assert before != inside
        assert [await session.fetchval("SELECT current_setting($1, true)", name) for name in names] == before
