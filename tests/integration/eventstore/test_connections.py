"""Connections that break, and callers that leave, while an append is under way."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from uuid import uuid4

import pytest

from eventstore import START, Append, ConcurrencyConflict, InvalidRequest, OutcomeUnknown, Receipt, StoreUnavailable
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.administration.administrator import administrator
from tests.integration.eventstore.questions import ANY, counted, keys, of
from tests.integration.eventstore.staging import Connection, head_locked, room_made, terminate, waiting
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.tcp_proxy import Proxy, proxy
from worker.failures import sentence


@pytest.fixture
async def way(database: Database) -> AsyncIterator[Proxy]:
    async with proxy(database.url) as way:
        yield way


@pytest.fixture
async def distant(way: Proxy) -> AsyncIterator[PostgresEventStore]:
    """A store that reaches its database by a way that can be cut, and has connected and appended once."""
    async with PostgresEventStore.connect(way.url) as store:
        await store.append([counted("before")])
        await room_made(store)
        yield store
        await store.append([counted("after")])


async def idle(store: PostgresEventStore) -> bool:
    """Whether nobody uses a connection; some may be kept."""
    await room_made(store)
    pool = store._pools.primary
    for keeper in pool.keepers:
        await keeper.make_room()
    return pool.connections.get_idle_size() == pool.connections.get_size()


async def test_an_append_with_a_key_outlives_its_connections(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    key = uuid4()
    async with head_locked(database.admin_url):
        append = asyncio.create_task(store.append([counted("a")], boundary=of("a"), after=START, key=key))
        killed: tuple[int, ...] = ()
        for _ in range(3):
            (pid,) = await waiting(admin, 1, besides=killed)
            await terminate(admin, pid)
            killed += (pid,)
        await waiting(admin, 1, besides=killed)
    receipt = await append
    assert (receipt.first, receipt.duplicate) == (1, False)
    assert await store.receipt(key) == receipt
    assert keys(await store.query(ANY)) == ["a"]
    assert await idle(store)


async def test_an_append_whose_connections_break_again_and_again_is_unknown_and_can_be_asked_for(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    key = uuid4()
    async with head_locked(database.admin_url):
        append = asyncio.create_task(store.append([counted("a")], key=key))
        killed: tuple[int, ...] = ()
        for _ in range(4):
            (pid,) = await waiting(admin, 1, besides=killed)
            await terminate(admin, pid)
            killed += (pid,)
        with pytest.raises(OutcomeUnknown):
            await append
    assert not (await store.append([counted("a")], key=key)).duplicate
    assert keys(await store.query(ANY)) == ["a"]


async def test_an_append_without_a_key_says_that_its_outcome_is_unknown(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    await store.append([counted("before")])
    async with head_locked(database.admin_url):
        append = asyncio.create_task(store.append([counted("a")]))
        (pid,) = await waiting(admin, 1)
        await terminate(admin, pid)
        with pytest.raises(OutcomeUnknown):
            await append
    assert keys(await store.query(ANY)) == ["before"]
    assert (await store.append([counted("b")])).first == 2


async def test_of_a_batch_whose_connection_breaks_those_with_a_key_are_answered(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    async with head_locked(database.admin_url):
        appends = [
            asyncio.create_task(store.append([counted(f"k{n}")], key=uuid4() if n % 2 else None)) for n in range(6)
        ]
        (pid,) = await waiting(admin, 1)
        await terminate(admin, pid)
        await waiting(admin, 1, besides=(pid,))
    results = await asyncio.gather(*appends, return_exceptions=True)
    assert [type(result) for result in results] == [OutcomeUnknown, Receipt] * 3
    assert keys(await store.query(ANY)) == ["k1", "k3", "k5"]


async def test_a_chain_outlives_its_connection_and_is_recorded_once(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    chain = [Append(events=[counted("a")], boundary=of("a"), after=START, key=uuid4()) for _ in range(3)]
    async with head_locked(database.admin_url):
        appending = asyncio.create_task(store.append_chain(chain))
        (pid,) = await waiting(admin, 1)
        await terminate(admin, pid)
        await waiting(admin, 1, besides=(pid,))
    answers = await appending
    assert [answer.first for answer in answers if isinstance(answer, Receipt)] == [1, 2, 3]
    again = await store.append_chain(chain)
    assert [answer.duplicate for answer in again if isinstance(answer, Receipt)] == [True] * 3
    assert keys(await store.query(ANY)) == ["a"] * 3


async def test_a_chain_whose_caller_leaves_is_recorded_whole(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    chain = [Append(events=[counted("a")], boundary=of("a"), after=START, key=uuid4()) for _ in range(3)]
    async with head_locked(database.admin_url):
        first = asyncio.create_task(store.append([counted("first")]))
        await waiting(admin, 1)
        appending = asyncio.create_task(store.append_chain(chain))
        await asyncio.sleep(0)
        appending.cancel()
        await asyncio.gather(appending, return_exceptions=True)
    await first
    await store.append([counted("last")])
    assert keys(await store.query(ANY)) == ["first", "a", "a", "a", "last"]


async def test_an_answer_that_was_lost_is_asked_for_again(
    distant: PostgresEventStore, way: Proxy, database: Database, admin: Connection
) -> None:
    key = uuid4()
    async with head_locked(database.admin_url):
        append = asyncio.create_task(distant.append([counted("a")], boundary=of("a"), after=START, key=key))
        await waiting(admin, 1)
        way.lose_answers()
    receipt = await append
    # It had happened: the second answer is the first one's, although by then the boundary has an event.
    assert way.cuts == 1
    assert (receipt.first, receipt.last, receipt.duplicate) == (2, 2, True)
    assert keys(await distant.query(ANY)) == ["before", "a"]


async def test_an_answer_that_was_lost_without_a_key_leaves_the_outcome_open(
    distant: PostgresEventStore, way: Proxy, database: Database, admin: Connection
) -> None:
    async with head_locked(database.admin_url):
        append = asyncio.create_task(distant.append([counted("a")], boundary=of("a"), after=START))
        await waiting(admin, 1)
        way.lose_answers()
    with pytest.raises(OutcomeUnknown):
        await append
    assert keys(await distant.query(ANY)) == ["before", "a"]
    with pytest.raises(ConcurrencyConflict):
        await distant.append([counted("a")], boundary=of("a"), after=START)


async def test_an_attempt_that_still_waits_in_the_server_and_its_successor_are_recorded_once(
    distant: PostgresEventStore, way: Proxy, database: Database, admin: Connection
) -> None:
    key = uuid4()
    async with head_locked(database.admin_url):
        append = asyncio.create_task(distant.append([counted("a")], boundary=of("a"), after=START, key=key))
        await waiting(admin, 1)
        way.cut()
        # The server has not noticed. "No receipt" would prove nothing now; only the lock's next holder knows.
        await waiting(admin, 2)
        assert await distant.receipt(key) is None
    receipt = await append
    assert receipt.first == 2
    await eventually(partial(_nobody_waits, admin), what="both attempts to end")
    assert keys(await distant.query(ANY)) == ["before", "a"]


async def _nobody_waits(admin: Connection) -> bool:
    return not await admin.fetch(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND pid <> $1",
        admin.get_server_pid(),
    )


async def test_a_query_whose_connection_breaks_is_asked_once_more(distant: PostgresEventStore, way: Proxy) -> None:
    assert keys(await distant.query(ANY)) == ["before"]
    way.lose_answers()
    assert keys(await distant.query(ANY)) == ["before"]
    assert way.cuts == 1


async def test_queries_whose_connections_break_again_say_so_and_the_next_work(
    distant: PostgresEventStore, way: Proxy
) -> None:
    assert keys(await distant.query(ANY)) == ["before"]
    # Only answers to a query: after a failed attempt to connect, psycopg makes another.
    way.lose_answers(2, only=b"before")
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await distant.query(ANY)
    assert way.cuts == 2
    assert keys(await distant.query(ANY)) == ["before"]


async def test_an_append_goes_on_when_its_caller_leaves(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    key = uuid4()
    async with head_locked(database.admin_url):
        append = asyncio.create_task(store.append([counted("a")], key=key))
        await waiting(admin, 1)
        append.cancel()
        with pytest.raises(asyncio.CancelledError):
            await append
        # Not cut short: with a synchronous standby, that would leave open what happened.
        await waiting(admin, 1)
        behind = asyncio.create_task(store.append([counted("b")]))
    assert (await behind).first == 2
    assert (await store.append([counted("a")], key=key)).duplicate
    assert keys(await store.query(ANY)) == ["a", "b"]
    assert await idle(store)


async def test_an_append_that_was_not_sent_is_withdrawn_when_its_caller_leaves(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    async with head_locked(database.admin_url):
        first = asyncio.create_task(store.append([counted("first")]))
        await waiting(admin, 1)
        withdrawn, kept = (asyncio.create_task(store.append([counted(key)])) for key in ("withdrawn", "kept"))
        await waiting(admin, 1)
        withdrawn.cancel()
    await asyncio.gather(first, kept)
    assert withdrawn.cancelled()
    assert keys(await store.query(ANY)) == ["first", "kept"]


async def test_a_store_that_closes_waits_for_the_append_whose_caller_left(
    database: Database, admin: Connection, store: PostgresEventStore
) -> None:
    sent = asyncio.Event()

    async def leave() -> None:
        async with PostgresEventStore.connect(database.url) as leaving:
            append = asyncio.create_task(leaving.append([counted("a")]))
            await sent.wait()
            append.cancel()

    async with head_locked(database.admin_url):
        closing = asyncio.create_task(leave())
        await waiting(admin, 1)
        sent.set()
        await waiting(admin, 1)
        assert not closing.done()
    await closing
    assert keys(await store.query(ANY)) == ["a"]


async def test_many_callers_that_leave_at_any_moment_leave_a_working_store(store: PostgresEventStore) -> None:
    async def leave(turns: int, key: str) -> None:
        append = asyncio.create_task(store.append([counted(key)], boundary=of(key), after=START))
        for _ in range(turns):
            await asyncio.sleep(0)
        append.cancel()

    for round_number in range(10):
        await asyncio.gather(*(leave(turns, f"{round_number} {turns}") for turns in range(20)))
    receipt = await store.append([counted("last")])
    stream = await store.query(ANY)
    assert receipt.position == stream.position
    assert [event.sequence_number for event in stream.events] == list(range(1, receipt.position.number + 1))
    assert len(set(keys(stream))) == len(stream.events)
    assert await idle(store)


async def test_whatever_fails_the_second_time_the_first_may_have_happened(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    async with head_locked(database.admin_url):
        append = asyncio.create_task(store.append([counted("a")], key=uuid4()))
        (first,) = await waiting(admin, 1)
        await terminate(admin, first)
        (second,) = await waiting(admin, 1, besides=(first,))
        assert await admin.fetchval("SELECT pg_cancel_backend($1)", second)
        with pytest.raises(OutcomeUnknown, match="could not be sent again"):
            await append


async def test_what_the_server_refuses_the_second_time_did_not_happen_the_first(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    event = counted("bad")
    object.__setattr__(event, "payload_text", "[]")
    async with head_locked(database.admin_url):
        append = asyncio.create_task(store.append([event], key=uuid4()))
        (first,) = await waiting(admin, 1)
        await terminate(admin, first)
        await waiting(admin, 1, besides=(first,))
    with pytest.raises(InvalidRequest):
        await append


async def test_why_an_administrators_connection_was_lost_in_a_transaction_is_told(database: Database) -> None:
    """And not that the transaction in it cannot be ended, which is what the driver says last."""

    async def lose() -> None:
        async with administrator(database.admin_url, purpose="test") as connection, connection.transaction():
            await connection.fetch("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(StoreUnavailable, match="terminating connection due to administrator command"):
        await lose()


async def test_why_an_administrators_connection_was_lost_is_told_from_within_two_transactions(
    database: Database,
) -> None:
    async def lose() -> None:
        async with (
            administrator(database.admin_url, purpose="test") as connection,
            connection.transaction(),
            connection.transaction(),
        ):
            await connection.fetch("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(StoreUnavailable, match="terminating connection due to administrator command"):
        await lose()


async def test_an_administrators_connection_that_was_lost_says_not_that_the_server_is_stopped(
    database: Database, admin: Connection
) -> None:
    """As between two chunks of an import: the driver finds it closed, and has no code for that."""

    async def lose() -> None:
        async with administrator(database.admin_url, purpose="test") as connection:
            ended = asyncio.Event()
            connection.add_termination_listener(lambda _: ended.set())
            await terminate(admin, connection.get_server_pid())
            await ended.wait()
            await connection.fetchval("SELECT 1")

    with pytest.raises(
        StoreUnavailable, match=r"^the connection to PostgreSQL was lost: connection is closed$"
    ) as lost:
        await lose()
    assert lost.value.code == "08006"
    assert "start the database" not in sentence(lost.value)
