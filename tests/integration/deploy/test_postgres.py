"""Primary and replica of ``compose.yaml``, set up by their own scripts on real servers."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest

from deploy.local.account import Account
from deploy.local.errors import StackError
from deploy.local.ports import LOOPBACK
from deploy.local.reaper_client import ReaperClient
from eventstore import Consistency, Event, Filter
from eventstore.postgres import PostgresEventStore, migrate
from tests.integration.deploy.containers import PostgresContainer
from tests.integration.eventstore.staging import connected
from tests.support.composition import composition
from tests.support.fixtures.waiting import eventually

# Every character here means something to a shell, to SQL, to psql or to a password file.
_PASSWORDS = {
    "POSTGRES_ADMIN_PASSWORD": "adminsecret",
    "POSTGRES_WORKER_PASSWORD": "workersecret",
    "POSTGRES_REPLICATION_PASSWORD": r"""it's :a "$tricky\ one""",
    "POSTGRES_MONITOR_PASSWORD": "monitorsecret",
    "RABBITMQ_ADMIN_PASSWORD": "unused",
    "RABBITMQ_WORKER_PASSWORD": "unused",
    "GRAFANA_ADMIN_PASSWORD": "unused",
}


class Pair(NamedTuple):
    primary: PostgresContainer
    replica: PostgresContainer

    def admin_url(self) -> str:
        return self.primary.url("admin", _PASSWORDS["POSTGRES_ADMIN_PASSWORD"])

    def worker_urls(self) -> tuple[str, str]:
        primary, replica = (server.url("worker", _PASSWORDS["POSTGRES_WORKER_PASSWORD"]) for server in self)
        return primary, replica


@pytest.fixture
def pair(reaper: ReaperClient, programs: Path) -> Iterator[Pair]:
    """A running primary, and a replica that was never started."""
    with _running(reaper, programs) as pair:
        yield pair


@pytest.fixture(scope="module")
def standing(programs: Path) -> Iterator[Pair]:
    """The same, migrated, for all tests that leave everything as it is."""
    reaper = ReaperClient(Account.for_servers())
    try:
        with _running(reaper, programs) as pair:
            asyncio.run(migrate(pair.admin_url()))
            yield pair
    finally:
        reaper.close()


@contextmanager
def _running(reaper: ReaperClient, programs: Path) -> Iterator[Pair]:
    services: dict[str, Any] = composition(_PASSWORDS)["services"]
    primary = PostgresContainer(reaper, programs, "primary", services["postgres"])
    replica = PostgresContainer(reaper, programs, "replica", services["postgres-replica"])
    replica.environment |= {"PRIMARY_HOST": LOOPBACK, "PRIMARY_PORT": str(primary.port)}
    primary.initialise()
    primary.start()
    yield Pair(primary, replica)
    replica.stop()
    primary.stop()


async def _value(url: str, sql: str) -> Any:
    async with connected(url) as connection:
        return await connection.fetchval(sql)


async def _append(pair: Pair) -> None:
    async with PostgresEventStore.connect(pair.worker_urls()[0]) as store:
        await store.append([Event(type="Happened", payload={})])


async def _count(url: str) -> int:
    return int(await _value(url, "SELECT count(*) FROM eventstore.events"))


async def _has(url: str, events: int) -> bool:
    return await _count(url) == events


async def _streams(pair: Pair) -> bool:
    sql = "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming' AND application_name = 'replica'"
    return bool(await _value(pair.admin_url(), sql))


async def test_the_replica_sets_itself_up_and_serves_the_workers_reads(pair: Pair) -> None:
    await migrate(pair.admin_url())
    await _append(pair)
    await asyncio.to_thread(pair.replica.start)
    await eventually(partial(_streams, pair), what="the replica to stream")
    await _append(pair)
    primary, replica = pair.worker_urls()
    await eventually(partial(_has, replica, 2), what="the second event on the replica")
    async with PostgresEventStore.connect(primary, replica_urls=(replica,)) as store:
        stream = await store.query(Filter.matching_any_event(), consistency=Consistency.EVENTUAL)
    assert stream.replica
    assert [event.sequence_number for event in stream.events] == [1, 2]


async def test_whoever_watches_sees_statistics_and_no_events(standing: Pair) -> None:
    await _append(standing)
    url = standing.primary.url("monitor", _PASSWORDS["POSTGRES_MONITOR_PASSWORD"])
    # Of another's session, a role without pg_monitor sees nothing.
    sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'admin' AND query LIKE '%held open%'"
    async with connected(standing.admin_url()) as admin:
        await admin.execute("SELECT 'held open'")
        assert await _value(url, sql) == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _count(url)


async def test_the_replica_goes_on_from_its_own_data_and_catches_up(pair: Pair) -> None:
    await migrate(pair.admin_url())
    await asyncio.to_thread(pair.replica.start)
    await asyncio.to_thread(pair.replica.stop)
    birth = pair.replica.data.stat().st_ino
    await _append(pair)
    await asyncio.to_thread(pair.replica.start)
    await eventually(partial(_has, pair.worker_urls()[1], 1), what="the event it missed")
    assert pair.replica.data.stat().st_ino == birth


async def test_an_interrupted_copy_is_begun_anew(pair: Pair, reaper: ReaperClient) -> None:
    # What is left when the copy is killed: a folder that looks like a database, and is none.
    incomplete = pair.replica.data.with_name(f"{pair.replica.data.name}.incomplete")
    reaper.run(["mkdir", "-p", str(incomplete)], log=pair.replica.log)
    reaper.write(incomplete / "PG_VERSION", "18\n")
    await migrate(pair.admin_url())
    await asyncio.to_thread(pair.replica.start)
    assert await _count(pair.worker_urls()[1]) == 0
    assert not incomplete.exists()


async def test_the_replica_without_a_primary_fails_and_leaves_no_data(pair: Pair) -> None:
    pair.primary.stop()
    with pytest.raises(StackError, match="did not become healthy"):
        await asyncio.to_thread(pair.replica.start)
    assert not pair.replica.data.exists()


async def test_a_replica_refuses_writes(pair: Pair) -> None:
    await migrate(pair.admin_url())
    await asyncio.to_thread(pair.replica.start)
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await _value(pair.worker_urls()[1], "CREATE TEMPORARY TABLE refused ()")


async def test_the_replication_password_is_in_no_file_of_the_data(pair: Pair) -> None:
    await migrate(pair.admin_url())
    await asyncio.to_thread(pair.replica.start)
    settings = (pair.replica.data / "postgresql.auto.conf").read_text(encoding="utf-8")
    assert "passfile" in settings
    assert "tricky" not in settings
    assert (pair.replica.data.with_name("docker.pgpass")).stat().st_mode & 0o077 == 0


async def test_a_new_replication_password_takes_effect_with_the_next_start(pair: Pair) -> None:
    await migrate(pair.admin_url())
    await asyncio.to_thread(pair.replica.start)
    await asyncio.to_thread(pair.replica.stop)
    await _value(pair.admin_url(), "ALTER ROLE replicator PASSWORD 'another'")
    pair.replica.environment["POSTGRES_REPLICATION_PASSWORD"] = "another"
    await asyncio.to_thread(pair.replica.start)
    await eventually(partial(_streams, pair), what="the replica to stream again")


async def test_confirmed_events_are_on_the_disk(standing: Pair) -> None:
    async with connected(standing.worker_urls()[0]) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await connection.fetchval("SELECT current_setting($1)", setting) == "on"


async def test_the_worker_has_no_rights_but_those_of_the_group(standing: Pair) -> None:
    url = standing.worker_urls()[0]
    async with connected(url) as connection:
        row = await connection.fetchrow(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolcanlogin,"
            " pg_has_role('worker', 'eventstore_runtime', 'USAGE') AS member FROM pg_roles WHERE rolname = 'worker'"
        )
        assert row is not None
        assert dict(row) == {
            "rolsuper": False,
            "rolcreatedb": False,
            "rolcreaterole": False,
            "rolreplication": False,
            "rolbypassrls": False,
            "rolcanlogin": True,
            "member": True,
        }
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE SCHEMA refused")
    assert not await _value(url, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'eventstore_runtime'")


@pytest.mark.parametrize("user", ["admin", "worker", "replicator"])
async def test_nobody_enters_without_the_password(standing: Pair, user: str) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(standing.primary.url(user, "guessed"))


async def test_only_the_replicator_may_copy_the_primary(pair: Pair) -> None:
    pair.replica.environment["POSTGRES_REPLICATION_PASSWORD"] = _PASSWORDS["POSTGRES_WORKER_PASSWORD"]
    with pytest.raises(StackError, match="password authentication failed"):
        await asyncio.to_thread(pair.replica.start)
