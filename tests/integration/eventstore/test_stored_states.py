"""Stored states in the database: who may write them, how they survive a rewritten history, and how they are dropped."""

import asyncio
from dataclasses import replace
from functools import partial

import asyncpg
import pytest

from eventstore import Consistency, Position, StateKey, StoredState, StoreMisconfigured, StoreUnavailable
from eventstore.postgres import PostgresEventStore, drop_states, list_states
from tests.integration.eventstore.cluster import Replicated
from tests.integration.eventstore.questions import counted
from tests.integration.eventstore.staging import Connection
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually

KEY = StateKey(domain="shop", view="shelf", version=1, key='["tea"]', filter_digest=b"digest")
NOWHERE = "postgresql://nobody:secret@127.0.0.1:9/nowhere"


async def append(store: PostgresEventStore, count: int) -> Position:
    return (await store.append([counted("a")] * count)).position


async def put(store: PostgresEventStore, position: Position, *, key: StateKey = KEY, state: bytes = b"{}") -> None:
    await store.store_state(StoredState(key=key, position=position, state=state, events=1))


async def position_of(store: PostgresEventStore) -> Position | None:
    (found,) = await store.stored_states([KEY], consistency=Consistency.STRONG)
    return None if found is None else found.position


async def test_a_state_of_a_history_that_was_rewritten_gives_way_to_any(
    store: PostgresEventStore, admin: Connection
) -> None:
    first, last = await append(store, 1), await append(store, 4)
    for forgotten in ("token = token # 1", "position = 77"):
        await put(store, last)
        assert await position_of(store) == last
        # As after a failover to a standby that lacked the event.
        await admin.execute(f"UPDATE eventstore.states SET {forgotten}")  # noqa: S608  nothing in it is from outside
        await put(store, first)
        assert await position_of(store) == first


@pytest.mark.parametrize("damage", ["position = -1", "token = -1"])
async def test_a_state_whose_position_is_none_is_as_if_it_were_not_there(
    store: PostgresEventStore, admin: Connection, damage: str
) -> None:
    last = await append(store, 1)
    await put(store, last)
    await admin.execute(f"UPDATE eventstore.states SET {damage}")  # noqa: S608  nothing in it is from outside
    assert await position_of(store) is None
    await put(store, last)
    assert await position_of(store) == last


async def test_an_earlier_state_that_waited_for_a_later_one_does_not_replace_it(
    store: PostgresEventStore, admin: Connection, runtime: Connection
) -> None:
    """What was recorded while it waited is in the log, too."""
    early = await append(store, 1)
    async with admin.transaction():
        await admin.execute("SELECT pg_advisory_xact_lock(hashtextextended(encode($1, 'hex'), 0))", KEY.digest)
        waiting = asyncio.create_task(put(store, early))
        await eventually(partial(_waits, runtime), what="the earlier state to wait")
        late = await append(store, 1)
        await admin.execute(
            "SELECT eventstore.put_state_v2($1, 'shop', 'shelf', 1, '[]', '', $2, $3, '', 2, false)",
            KEY.digest,
            late.number,
            late.token,
        )
    await waiting
    assert await position_of(store) == late


async def _waits(looker: Connection) -> bool:
    return bool(
        await looker.fetchval(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event = 'advisory' AND query LIKE '%put_state_v2%')"
        )
    )


async def test_workers_may_read_states_and_store_them_by_the_function_alone(
    store: PostgresEventStore, runtime: Connection
) -> None:
    await put(store, await append(store, 1))
    assert len(await runtime.fetch("SELECT * FROM eventstore.states")) == 1
    for attempt in (
        "UPDATE eventstore.states SET position = 9",
        "DELETE FROM eventstore.states",
        "TRUNCATE eventstore.states",
        "INSERT INTO eventstore.states TABLE eventstore.states",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await runtime.execute(attempt)


async def test_they_are_listed_by_view_and_version_and_dropped_by_name(
    store: PostgresEventStore, database: Database
) -> None:
    assert await list_states(database.admin_url) == ()
    first, last = await append(store, 1), await append(store, 2)
    tea, milk = KEY, replace(KEY, key='["milk"]')
    others = [replace(KEY, version=2), replace(KEY, view="orders"), replace(KEY, domain="library")]
    await put(store, first, key=tea, state=b"1234")
    await put(store, last, key=milk, state=b"x" * 10_000)
    for key in others:
        await put(store, last, key=key)
    listed = await list_states(database.admin_url)
    assert [(each.domain, each.view, each.version, each.states) for each in listed] == [
        ("library", "shelf", 1, 1),
        ("shop", "orders", 1, 1),
        ("shop", "shelf", 1, 2),
        ("shop", "shelf", 2, 1),
    ]
    assert (listed[2].bytes, listed[2].lowest, listed[2].highest) == (10_004, 1, 3)
    (written,) = await store.stored_states([milk])
    assert written is not None
    assert listed[2].written_at == written.written_at
    assert await list_states(database.admin_url, domain="shop", view="shelf", version=1) == listed[2:3]
    assert await drop_states(database.admin_url, view="shelf", version=2) == 1
    assert await drop_states(database.admin_url, domain="shop", view="shelf") == 2
    assert await store.stored_states([tea, milk]) == [None, None]
    assert await drop_states(database.admin_url, domain="shop", view="shelf") == 0
    assert await drop_states(database.admin_url) == 2
    assert await list_states(database.admin_url) == ()


async def test_workers_may_not_drop_them(store: PostgresEventStore, database: Database) -> None:
    await put(store, await append(store, 1))
    with pytest.raises(StoreMisconfigured) as refusal:
        await drop_states(database.url)
    assert refusal.value.code == "42501"
    assert len(await list_states(database.url)) == 1


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        await list_states(NOWHERE)
    with pytest.raises(StoreUnavailable):
        await drop_states(NOWHERE)


async def test_a_replica_tells_what_it_has(replicated: Replicated) -> None:
    async with PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls[:1]) as store:
        first = await append(store, 1)
        await put(store, first)
        second = await append(store, 1)
        await replicated.follow()
        async with replicated.paused(replicated.replicas[0]):
            await put(store, second)
            (found,) = await store.stored_states([KEY])
            assert found is not None
            assert found.position == first
            assert await position_of(store) == second
        await asyncio.to_thread(replicated.replicas[0].kill)
        (found,) = await store.stored_states([KEY])
        assert found is not None
        assert found.position == second
