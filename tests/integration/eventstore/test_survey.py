"""Surveys of real servers: what each column is by default, and that a pooler shows."""

import asyncio

import asyncpg
import pytest

from eventstore import StoreUnavailable
from eventstore.postgres import SCHEMA_VERSION, PostgresEventStore, survey
from eventstore.postgres.administration import survey as surveying
from tests.integration.eventstore.cluster import Replicated
from tests.integration.eventstore.questions import counted
from tests.integration.eventstore.staging import Connection, connected
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.tcp_proxy import proxy


async def test_a_primary_and_a_replica_are_told_apart(replicated: Replicated) -> None:
    async with PostgresEventStore.connect(replicated.url) as store:
        await store.append([counted("a"), counted("a")])
    await replicated.follow()
    primary = await survey(replicated.url, primary=True)
    assert (primary.schema_version, primary.head, primary.in_recovery) == (SCHEMA_VERSION, 2, False)
    assert (primary.role, primary.may_work, primary.may_change) == (replicated.primary.worker.user, True, False)
    assert (primary.isolation, primary.durability, primary.connections) == ("read committed", "on", 297)
    assert (primary.missing_indexes, primary.without_pending_list, primary.guarded) == ((), True, True)
    for url in replicated.replica_urls:
        replica = await survey(url)
        assert (replica.head, replica.in_recovery, replica.may_work, replica.pooled) == (2, True, True, False)
        assert replica.feedback


async def test_a_slot_that_nobody_reads_from_is_seen(replicated: Replicated) -> None:
    assert (await survey(replicated.url)).idle_slots == ()
    async with connected(replicated.admin_url) as admin:
        await admin.execute("SELECT pg_create_physical_replication_slot('abandoned', true)")
        try:
            async with PostgresEventStore.connect(replicated.url) as store:
                await store.append([counted("a")])
            ((name, kept),) = (await survey(replicated.url)).idle_slots
            assert name == "abandoned"
            assert kept > 0
        finally:
            await admin.execute("SELECT pg_drop_replication_slot('abandoned')")


async def test_a_pooler_shows_by_the_process_that_it_names(
    replicated: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not (await survey(replicated.url)).pooled
    # A pooler answers the connection itself, and gives it a number of its own making.
    monkeypatch.setattr(asyncpg.Connection, "get_server_pid", lambda _: 1)
    assert (await survey(replicated.url)).pooled


async def test_of_several_hosts_the_primary_is_surveyed(replicated: Replicated) -> None:
    both = replicated.url.replace("@127.0.0.1:", f"@127.0.0.1:{replicated.replicas[0].port},127.0.0.1:")
    assert (await survey(both)).in_recovery
    assert not (await survey(both, primary=True)).in_recovery


async def test_a_server_that_falls_silent_in_the_middle_cannot_be_reached(
    database: Database, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveying, "_SECONDS", 1.0)
    async with proxy(database.url) as way, connected(database.admin_url) as other, other.transaction():
        await other.execute("LOCK TABLE eventstore.store IN ACCESS EXCLUSIVE MODE")
        asked = asyncio.create_task(survey(way.url))
        await eventually(lambda: _waits(admin), what="the survey to wait")
        way.discard_traffic()
        with pytest.raises(StoreUnavailable):
            await asked


async def _waits(admin: Connection) -> bool:
    found = await admin.fetch(
        "SELECT FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%Purpose%'"
    )
    return len(found) == 1
