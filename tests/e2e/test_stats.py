"""``worker db stats``: what workers' own role is shown, what an administrator is shown besides, and slow statements."""

import asyncio
import secrets
from collections.abc import Iterator

import pytest

from deploy.local.account import Account
from deploy.local.binaries import system_postgres_folder
from deploy.local.cluster import start_cluster
from deploy.local.postgres import Login, PostgresServer
from deploy.local.reaper_client import ReaperClient
from eventstore import Event, Filter, P
from eventstore.postgres import PostgresEventStore, measure, migrate
from tests.e2e.program import Worker
from tests.support.fixtures.administration import execute
from tests.support.fixtures.databases import Database

_NOWHERE = "postgresql://worker:secret@127.0.0.1:9/events"
_EXTENSION = 'CREATE SCHEMA "apart from it"; CREATE EXTENSION pg_stat_statements SCHEMA "apart from it"'


async def _append(url: str, count: int) -> None:
    async with PostgresEventStore.connect(url, pool_size=1) as store:
        await store.append([Event(type="Counted", payload={"Key": "a"}) for _ in range(count)])
        await store.query(Filter.matching().any_predicate_of(P("Key", "a")))


@pytest.fixture
def measured_server() -> Iterator[PostgresServer]:
    """A server of the system's package, with pg_stat_statements; the wheel's has no extension."""
    reaper = ReaperClient(Account.for_servers())
    try:
        logins = [Login(user, secrets.token_hex(16)) for user in ("admin", "worker")]
        programs = system_postgres_folder() / "bin"
        server = start_cluster(reaper, programs=programs, admin=logins[0], worker=logins[1], replicas=0).primary
        settings = (server.data / "postgresql.conf").read_text(encoding="utf-8")
        loaded = "shared_preload_libraries = 'pg_stat_statements'\n"
        reaper.write(server.data / "postgresql.conf", settings + loaded)
        server.restart()
        yield server
    finally:
        reaper.close()


async def test_workers_own_role_is_shown_what_it_may_see(worker: Worker, database: Database) -> None:
    await _append(database.url, 7)
    others = worker.having(DATABASE_REPLICA_URLS=f"{database.replica_urls[0]},{_NOWHERE}")
    shown, told = await asyncio.gather(others("db", "stats", "--json"), others("db", "stats"))
    assert (shown.status, told.status) == (0, 0), (shown, told)
    document = shown.document()
    assert (document["database"]["head"], document["database"]["sees_all"]) == (7, False)
    assert document["database"]["bytes"] > 1_000_000
    tables = {row["name"]: row for row in document["tables"]}
    assert {"events", "receipts", "store"} <= tables.keys()
    assert tables["events"]["index_bytes"] > 0
    indexes = {row["name"]: row for row in document["indexes"]}
    assert {"events_pkey", "events_payload", "events_type", "events_occurred_at", "receipts_pkey"} <= indexes.keys()
    assert indexes["events_payload"]["table_name"] == "events"
    near, nowhere = document["replicas"]
    assert near["failure"] is None
    assert near["events_behind"] == 7 - near["head"]
    assert (nowhere["replica"], nowhere["head"]) == ("127.0.0.1:9/events", None)
    assert nowhere["failure"].startswith("PostgreSQL cannot be reached at ")
    assert document["statements"] is None
    # Standbys are there, and hidden but for their names.
    assert document["standbys"]
    assert {row["bytes_behind"] for row in document["standbys"]} == {None}
    assert "rows (estimated)" in told.output
    assert f"GRANT pg_monitor TO {document['database']['role']} shows them." in told.output
    assert "pg_stat_statements is not installed" in told.output


async def test_an_administrator_is_shown_connections_and_standbys(worker: Worker, database: Database) -> None:
    async with PostgresEventStore.connect(database.url, pool_size=1, application_name="a worker"):
        admin = worker.having(DATABASE_URL=database.admin_url)
        document = (await admin("db", "stats", "--json")).document()
        told = await admin("db", "stats")
    assert document["database"]["sees_all"]
    (own,) = [row for row in document["connections"] if row["name"] == "a worker (append 2)"]
    assert own["connections"] == 1
    assert {row["state"] for row in document["standbys"]} == {"streaming"}
    assert all(row["bytes_behind"] >= 0 for row in document["standbys"])
    assert "bytes behind" in told.output
    assert "pg_monitor" not in told.output


async def test_slow_statements_are_shown_where_they_are_measured(
    worker: Worker, measured_server: PostgresServer
) -> None:
    url, admin_url = (measured_server.url(login) for login in (measured_server.worker, measured_server.admin))
    await migrate(admin_url)
    await _append(url, 1)
    named = worker.having(DATABASE_URL=url, DATABASE_REPLICA_URLS="")
    assert (await named("db", "stats", "--json")).document()["statements"] is None
    await execute(admin_url, _EXTENSION)
    # The role may not see into that schema; that is no failure.
    assert (await named("db", "stats", "--json")).document()["statements"] is None
    await execute(admin_url, 'GRANT USAGE ON SCHEMA "apart from it" TO PUBLIC')
    await _append(url, 2)
    statements = (await measure(url)).statements
    assert statements is not None
    (append,) = [row for row in statements if "eventstore.append_v3" in row["text"]]
    assert append["calls"] >= 1
    assert append["total_seconds"] >= append["max_seconds"] >= append["mean_seconds"] > 0
    assert not any("-- Purpose" in row["text"] or "\n" in row["text"] for row in statements)
    assert "eventstore.append_v3" in (await named("db", "stats")).output
