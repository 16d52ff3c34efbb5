"""The row that every append locks, and that nothing changes."""

import asyncio

import pytest

from eventstore import StoreMisconfigured, StoreUnavailable
from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.questions import ANY, counted, keys, of
from tests.integration.eventstore.staging import Connection, connected, waiting
from tests.support.fixtures.databases import Database


async def test_no_append_leaves_a_dead_row_behind(store: PostgresEventStore, admin: Connection) -> None:
    before = await admin.fetchrow("SELECT ctid::text, xmin::text FROM eventstore.store")
    for _ in range(20):
        await store.append([counted("a")], boundary=of("b"))
    assert await admin.fetchrow("SELECT ctid::text, xmin::text FROM eventstore.store") == before
    assert await admin.fetchval("SELECT pg_relation_size('eventstore.store')") == 8192


async def test_a_lost_row_is_named(store: PostgresEventStore, admin: Connection) -> None:
    await admin.execute("DELETE FROM eventstore.store")
    with pytest.raises(StoreMisconfigured, match="lost its lock row"):
        await store.append([counted("a")])


async def test_a_writer_beside_the_store_makes_appends_wait_for_a_person(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    async with connected(database.admin_url) as stranger:
        transaction = stranger.transaction()
        await transaction.start()
        # It has taken the next number without the lock.
        await stranger.execute(
            "INSERT INTO eventstore.events VALUES (1, 1, 'Counted', now(), '{\"Key\": \"x\"}', '{}')"
        )
        append = asyncio.create_task(store.append([counted("a")]))
        await waiting(admin, 1)
        await transaction.commit()
        # Not the request is at fault: a worker pauses, and blames no command.
        with pytest.raises(StoreUnavailable, match="another program writes") as refusal:
            await append
        assert refusal.value.code == "23505"
    assert (await store.append([counted("a")])).first == 2
    assert keys(await store.query(ANY)) == ["x", "a"]
