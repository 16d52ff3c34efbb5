"""Receipts that are deleted for their age: those, no younger one, and no event."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from eventstore import InvalidRequest, StoreMisconfigured, StoreUnavailable
from eventstore.postgres import PostgresEventStore, count_prunable, prune, receipts_since
from eventstore.postgres.statements import statement
from tests.integration.eventstore.questions import ANY, counted, numbers
from tests.integration.eventstore.staging import Connection
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually

QUARTER, HALF = timedelta(days=90), timedelta(days=180)
NOWHERE = "postgresql://nobody:secret@127.0.0.1:9/nowhere"
_LOAD = """
INSERT INTO eventstore.receipts
SELECT gen_random_uuid(), '', 'unchanged', NULL, '{}', NULL, NULL, 0, 0, now() - make_interval(days => n % 180)
FROM generate_series(1, $1) AS n
"""


async def age(admin: Connection, key: UUID, days: int) -> None:
    await admin.execute(
        "UPDATE eventstore.receipts SET recorded_at = now() - make_interval(days => $2) WHERE key = $1", key, days
    )


async def test_old_receipts_are_deleted_and_nothing_else(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    old, young, today = uuid4(), uuid4(), uuid4()
    for key in (old, young, today):
        await store.append([counted("a")], key=key)
    await age(admin, old, 91)
    await age(admin, young, 89)
    found = await count_prunable(database.admin_url, QUARTER)
    assert (found.receipts, found.total) == (1, 3)
    assert {receipt.key async for receipt in store.all_receipts()} == {old, young, today}
    assert await prune(database.admin_url, found) == 1
    assert {receipt.key async for receipt in store.all_receipts()} == {young, today}
    assert numbers(await store.query(ANY)) == [1, 2, 3]
    # Repeated, the one command is decided anew, and the others are not.
    assert not (await store.append([counted("a")], key=old)).duplicate
    assert (await store.append([counted("a")], key=young)).duplicate
    assert await prune(database.admin_url, found) == 0


async def test_many_are_deleted_in_batches_each_once(
    database: Database, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await admin.execute(_LOAD, 5000)
    monkeypatch.setattr("eventstore.postgres.administration.pruning._PAGES", 5)
    found = await count_prunable(database.admin_url, QUARTER)
    assert found.total == 5000
    batches: list[int] = []
    assert await prune(database.admin_url, found, progress=batches.append) == found.receipts == sum(batches)
    assert len(batches) == -(-found.pages // 5) > 5
    assert await admin.fetchval("SELECT count(*) FROM eventstore.receipts") == found.total - found.receipts
    assert await admin.fetchval("SELECT count(*) FROM eventstore.receipts WHERE recorded_at < $1", found.before) == 0


async def test_it_is_known_from_when_on_receipts_are_complete(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    key = uuid4()
    await store.append([counted("a")], key=key)
    await age(admin, key, 200)
    assert await receipts_since(database.url) is None
    later, earlier = await count_prunable(database.admin_url, QUARTER), await count_prunable(database.admin_url, HALF)
    # To count deletes nothing, and to find nothing old neither.
    assert await receipts_since(database.url) is None
    assert await prune(database.admin_url, later) == 1
    assert await receipts_since(database.url) == later.before
    # What was deleted does not come back with a smaller pruning.
    await prune(database.admin_url, earlier)
    assert await receipts_since(database.url) == later.before


async def test_it_is_noted_before_the_first_receipt_is_deleted(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    """Whoever is killed at pruning has deleted some."""
    key = uuid4()
    await store.append([counted("a")], key=key)
    await age(admin, key, 91)
    found = await count_prunable(database.admin_url, QUARTER)
    async with admin.transaction():
        await admin.execute("LOCK TABLE eventstore.receipts IN SHARE MODE")
        pruning = asyncio.create_task(prune(database.admin_url, found))

        async def is_noted() -> bool:
            return await receipts_since(database.url) == found.before

        await eventually(is_noted, what="the note")
        assert await store.receipt(key) is not None
        pruning.cancel()
        await asyncio.gather(pruning, return_exceptions=True)
    assert await store.receipt(key) is not None


async def test_a_batch_looks_only_at_its_own_pages(admin: Connection) -> None:
    await admin.execute(_LOAD, 5000)
    async with admin.transaction():
        await admin.execute(f"PREPARE prune AS {statement('prune')}; SET LOCAL plan_cache_mode = force_generic_plan")
        plan = await admin.fetch("EXPLAIN EXECUTE prune ('(0,0)', '(5,0)', now())")
    assert any("Tid Range Scan" in row[0] for row in plan), plan


async def test_a_young_age_is_refused(database: Database) -> None:
    with pytest.raises(InvalidRequest, match="1 day at least"):
        await count_prunable(database.admin_url, timedelta(hours=23))


async def test_workers_may_not_delete_receipts(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    key = uuid4()
    await store.append([counted("a")], key=key)
    await age(admin, key, 91)
    found = await count_prunable(database.url, QUARTER)
    with pytest.raises(StoreMisconfigured) as refusal:
        await prune(database.url, found)
    assert refusal.value.code == "42501"
    assert await store.receipt(key) is not None


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        await count_prunable(NOWHERE, QUARTER)
    with pytest.raises(StoreUnavailable):
        await receipts_since(NOWHERE)
