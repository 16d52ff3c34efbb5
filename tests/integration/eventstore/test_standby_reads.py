"""A long query on a standby, while appends go on and vacuums run: it is not cancelled, and holds nothing up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from uuid import uuid4

import asyncpg
import pytest

from deploy.local.postgres import PostgresServer
from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.cluster import Replicated
from tests.integration.eventstore.questions import ANY, counted, of
from tests.integration.eventstore.staging import Connection, connected
from tests.support.fixtures.waiting import eventually

BEFORE = 50


@asynccontextmanager
async def having(server: PostgresServer, **settings: str) -> AsyncIterator[None]:
    """Let a server have other settings for a while."""
    async with connected(server.url(server.admin, "postgres")) as admin:
        for name, value in settings.items():
            await admin.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        await admin.execute("SELECT pg_reload_conf()")
        for name, value in settings.items():
            await eventually(partial(_has, server, name, value), what=f"{name} to be {value}")
        try:
            yield
        finally:
            for name in settings:
                await admin.execute(f"ALTER SYSTEM RESET {name}")
            await admin.execute("SELECT pg_reload_conf()")


async def _has(server: PostgresServer, name: str, value: str) -> bool:
    async with connected(server.url(server.admin, "postgres")) as admin:
        return bool(await admin.fetchval("SELECT setting = $2 FROM pg_settings WHERE name = $1", name, value))


@asynccontextmanager
async def long_query(url: str) -> AsyncIterator["asyncpg.cursor.Cursor[asyncpg.Record]"]:
    """A query that has begun, and has looked at the log and the receipts."""
    async with connected(url) as connection, connection.transaction(isolation="repeatable_read"):
        yield await connection.cursor(
            "SELECT e.sequence_number, r.key FROM eventstore.events e"
            " LEFT JOIN eventstore.receipts r ON r.first_number = e.sequence_number ORDER BY 1"
        )


async def _is_heeded(admin: Connection, name: str, snapshot: int) -> bool:
    """Whether the primary knows of a standby's oldest snapshot that it is as old as this."""
    query = "SELECT backend_xmin::text::bigint <= $2 FROM pg_stat_replication WHERE application_name = $1"
    return bool(await admin.fetchval(query, name, snapshot))


async def _has_replayed(standby: Connection, place: str) -> bool:
    return bool(await standby.fetchval("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", place))


# At once, or never: whichever of the two a conflict leads to, the test sees it.
@pytest.mark.parametrize("delay", ["0", "-1"])
async def test_a_long_query_on_a_standby_is_neither_cancelled_nor_in_the_way(
    replicated: Replicated, delay: str
) -> None:
    replica = replicated.replicas[0]
    async with (
        having(replica, max_standby_streaming_delay=delay, wal_receiver_status_interval="1"),
        PostgresEventStore.connect(replicated.url) as store,
        connected(replicated.admin_url) as admin,
        connected(replica.url(replica.admin, replicated.database)) as standby,
    ):
        for _ in range(BEFORE):
            await store.append([counted("a")], key=uuid4())
        await replicated.follow()
        async with long_query(replicated.replica_urls[0]) as rows:
            first = await rows.fetch(1)
            snapshot = await admin.fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
            await eventually(partial(_is_heeded, admin, replica.name, snapshot), what="the primary to heed the standby")
            for _ in range(BEFORE):
                await store.append([counted("a")], boundary=of("b"), key=uuid4())
            # What a pruning deletes is dead, and what an append leaves that failed; at the end of the tables, too.
            await admin.execute("DELETE FROM eventstore.receipts")
            transaction = admin.transaction()
            await transaction.start()
            await admin.execute(
                "INSERT INTO eventstore.events"
                " SELECT n, 1, 'Failed', now(), '{}', '{}' FROM generate_series(1000, 9000) AS n"
            )
            await transaction.rollback()
            await admin.execute("VACUUM eventstore.events, eventstore.receipts, eventstore.store")
            await store.append([counted("last")])
            place = await admin.fetchval("SELECT pg_current_wal_lsn()::text")
            await eventually(partial(_has_replayed, standby, place), what="the standby to replay all of it")
            found = first + await rows.fetch(2 * BEFORE)
        assert [row["sequence_number"] for row in found] == list(range(1, BEFORE + 1))
        assert all(row["key"] is not None for row in found)
        assert (await store.query(ANY)).position.number == 2 * BEFORE + 1
