"""How autovacuum treats the log, whose rows never change, unless an operator has chosen otherwise."""

import pytest

from eventstore.postgres import migrate
from eventstore.postgres.administration import partitioning
from tests.integration.eventstore.older_build import brought_to
from tests.integration.eventstore.staging import Connection, connected
from tests.support.fixtures.databases import Database

BEFORE = 18
OURS = {
    "autovacuum_freeze_min_age=0",
    "autovacuum_vacuum_insert_threshold=1000000",
    "autovacuum_vacuum_insert_scale_factor=0",
}
TABLES = """
FROM pg_class c
WHERE c.relkind = 'r' AND (
    c.oid = 'eventstore.events'::regclass OR c.oid IN (SELECT p.oid FROM eventstore.partitions p)
)
"""


async def settings(connection: Connection) -> list[set[str]]:
    """The settings of autovacuum of each table of the log."""
    rows = await connection.fetch(f"SELECT c.reloptions {TABLES}")
    return [{each for each in row[0] if each.startswith("autovacuum_")} for row in rows]


@pytest.mark.parametrize("partition_size", [None, 10])
async def test_a_log_is_frozen_at_its_first_vacuum(
    empty: Database, partition_size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitioning, "LEAST_SIZE", 1)
    await migrate(empty.admin_url, partition_size=partition_size)
    async with connected(empty.admin_url) as admin:
        found = await settings(admin)
    assert len(found) == (1 if partition_size is None else 2)
    assert all(each == OURS for each in found)


@pytest.mark.parametrize("partition_size", [None, 10])
async def test_what_an_operator_has_set_stays(
    empty: Database, partition_size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitioning, "LEAST_SIZE", 1)
    await brought_to(empty, BEFORE, monkeypatch, partition_size=partition_size)
    async with connected(empty.admin_url) as admin:
        for table in await admin.fetch(f"SELECT c.oid::regclass::text {TABLES}"):
            await admin.execute(f"ALTER TABLE {table[0]} SET (autovacuum_vacuum_insert_threshold = 5000)")
        await migrate(empty.admin_url)
        found = await settings(admin)
    kept = {*OURS, "autovacuum_vacuum_insert_threshold=5000"} - {"autovacuum_vacuum_insert_threshold=1000000"}
    assert len(found) == (1 if partition_size is None else 2)
    assert all(each == kept for each in found)
