"""Migrations, and how a program and a database that do not fit together find out."""

import asyncio
import importlib
from functools import partial
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.local.ports import free_port
from eventstore import InvalidRequest, LockNotAcquired, StoreMisconfigured, StoreUnavailable
from eventstore.postgres import SCHEMA_VERSION, PostgresEventStore, migrate, survey
from eventstore.postgres.administration.administrator import administrator
from eventstore.postgres.statements import Migration, migrations
from tests.integration.eventstore.questions import ANY, counted
from tests.integration.eventstore.staging import Connection, connected
from tests.support.fixtures.administration import execute, on
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually

# The package has a function of the module's name.
migrating = importlib.import_module("eventstore.postgres.administration.migrations")


async def has_schema(database: Database) -> bool:
    async with connected(database.admin_url) as connection:
        return bool(await connection.fetchval("SELECT to_regnamespace('eventstore') IS NOT NULL"))


async def version(database: Database) -> int:
    async with connected(database.admin_url) as connection:
        return int(await connection.fetchval("SELECT version FROM eventstore.schema_version"))


async def test_the_second_migration_changes_nothing(empty: Database) -> None:
    first = await migrate(empty.admin_url)
    assert (first.before, first.after, first.dry_run) == (0, SCHEMA_VERSION, False)
    assert [migration.version for migration in first.applied] == list(range(1, SCHEMA_VERSION + 1))
    async with PostgresEventStore.connect(empty.url) as store:
        await store.append([counted("a")])
    second = await migrate(empty.admin_url)
    assert (second.before, second.after, second.applied) == (SCHEMA_VERSION, SCHEMA_VERSION, ())
    async with PostgresEventStore.connect(empty.url) as store:
        assert len((await store.query(ANY)).events) == 1


async def test_of_several_migrations_at_once_one_does_the_work(empty: Database) -> None:
    reports = await asyncio.gather(*(migrate(empty.admin_url) for _ in range(4)))
    assert sorted(len(report.applied) for report in reports) == [0, 0, 0, SCHEMA_VERSION]
    assert await version(empty) == SCHEMA_VERSION


async def test_a_dry_run_says_what_it_would_do_and_does_nothing(empty: Database) -> None:
    report = await migrate(empty.admin_url, dry_run=True)
    assert (report.before, report.after, report.dry_run) == (0, SCHEMA_VERSION, True)
    assert report.applied == migrations()
    assert not await has_schema(empty)
    assert (await migrate(empty.admin_url)).applied == report.applied


async def test_a_migration_that_waits_for_another_holds_no_snapshot(database: Database, admin: Connection) -> None:
    async with connected(database.admin_url) as other:
        await other.execute("SELECT pg_advisory_lock($1)", migrating._LOCK)
        with pytest.raises(LockNotAcquired, match="another migration is under way"):
            await migrate(database.admin_url, wait_seconds=0.05)
        waiting = asyncio.create_task(migrate(database.admin_url))
        await eventually(partial(_polls, admin), what="the migration to ask for the lock")
        # Polling, not waiting inside the server: there it would keep CREATE INDEX CONCURRENTLY from ever ending.
        await eventually(partial(_is_idle, admin), what="the migration to be idle in between")
        assert not waiting.done()
    assert (await waiting).applied == ()


async def _polls(admin: Connection) -> bool:
    query = (
        "SELECT EXISTS (SELECT FROM pg_stat_activity"
        " WHERE datname = current_database() AND query LIKE '%pg_try_advisory_lock%' AND pid <> $1)"
    )
    return bool(await admin.fetchval(query, admin.get_server_pid()))


async def _is_idle(admin: Connection) -> bool:
    states = await admin.fetch(
        "SELECT state, backend_xmin, wait_event_type FROM pg_stat_activity"
        " WHERE query LIKE '%pg_try_advisory_lock%' AND datname = current_database() AND pid <> $1",
        admin.get_server_pid(),
    )
    return [tuple(row) for row in states] == [("idle", None, "Client")]


async def test_a_migration_that_fails_is_undone_whole_and_can_be_tried_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = SCHEMA_VERSION + 1

    def bring(sql: str) -> None:
        step = Migration(version=number, name="extra", sql=sql)
        monkeypatch.setattr(migrating, "migrations", lambda: (*migrations(), step))

    bring("CREATE TABLE eventstore.extra (); SELECT 1 / 0")
    with pytest.raises(InvalidRequest, match="division by zero"):
        await migrate(database.admin_url)
    assert await version(database) == SCHEMA_VERSION
    bring("CREATE TABLE eventstore.extra ()")
    report = await migrate(database.admin_url)
    assert [step.version for step in report.applied] == [number]
    assert await version(database) == number


async def test_a_schema_newer_than_the_program_is_left_alone_and_served(database: Database, admin: Connection) -> None:
    await admin.execute("UPDATE eventstore.schema_version SET version = 99")
    report = await migrate(database.admin_url)
    assert (report.before, report.after, report.applied) == (99, 99, ())
    async with PostgresEventStore.connect(database.url) as store:
        assert (await store.append([counted("a")])).first == 1
    assert await version(database) == 99


async def test_a_schema_older_than_the_program_is_refused_until_it_is_migrated(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "migrations", lambda: migrations()[:1])
    assert (await migrate(empty.admin_url)).after == 1
    with pytest.raises(StoreMisconfigured, match="or an older one: run `worker db migrate`"):
        async with PostgresEventStore.connect(empty.url):
            pass
    monkeypatch.undo()
    assert (await migrate(empty.admin_url)).before == 1
    async with PostgresEventStore.connect(empty.url) as store:
        assert (await store.append([counted("a")])).first == 1


async def test_a_database_without_an_event_store_says_how_to_get_one(empty: Database) -> None:
    with pytest.raises(StoreMisconfigured, match="run `worker db migrate`"):
        async with PostgresEventStore.connect(empty.url):
            pass
    assert not await has_schema(empty)


def login(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()


def port(url: str, number: int | str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{number}").geturl()


async def connect(url: str) -> None:
    async with PostgresEventStore.connect(url):
        pass


async def refusal(url: str, *, by_migrate: bool) -> Exception:
    with pytest.raises(Exception) as error:  # noqa: PT011  the callers look at it
        await (migrate(url) if by_migrate else connect(url))
    return error.value


@pytest.mark.parametrize("by_migrate", [True, False])
async def test_wrong_credentials_are_named(database: Database, *, by_migrate: bool) -> None:
    user = urlsplit(database.url).username or ""
    for url in (login(database.url, user, "wrong"), login(database.url, "nobody_we_know", "wrong")):
        error = await refusal(url, by_migrate=by_migrate)
        assert isinstance(error, StoreMisconfigured)
        assert "check the credentials in the address" in str(error)


@pytest.mark.parametrize("by_migrate", [True, False])
async def test_a_database_that_does_not_exist_is_named(database: Database, *, by_migrate: bool) -> None:
    error = await refusal(on(database.url, "no_such_database"), by_migrate=by_migrate)
    assert isinstance(error, StoreMisconfigured)
    assert "does not exist: create it, or correct the address" in str(error)


@pytest.mark.parametrize("by_migrate", [True, False])
async def test_a_server_that_does_not_answer_is_unavailable(database: Database, *, by_migrate: bool) -> None:
    error = await refusal(port(database.url, free_port()), by_migrate=by_migrate)
    assert isinstance(error, StoreUnavailable)


@pytest.mark.parametrize("by_migrate", [True, False])
@pytest.mark.parametrize(
    "address",
    [
        "no address",
        "mysql://worker@127.0.0.1/app",
        "postgresql://worker@127.0.0.1:port/app",
        "postgresql://worker@127.0.0.1:99999/app",
        "postgresql://worker@[::1/app",
        "postgresql://worker@127.0.0.1:1,127.0.0.1:x/app",
        "postgresql://worker@127.0.0.1/app?sslmode=bogus",
    ],
)
async def test_an_address_that_is_none_is_named(address: str, *, by_migrate: bool) -> None:
    error = await refusal(address, by_migrate=by_migrate)
    assert isinstance(error, StoreMisconfigured)
    assert "the database address is not usable" in str(error)


async def test_a_replica_address_that_is_none_is_named_at_once(database: Database) -> None:
    with pytest.raises(StoreMisconfigured, match="the database address is not usable"):
        async with PostgresEventStore.connect(database.url, replica_urls=["postgresql://worker@127.0.0.1:port/app"]):
            pass


async def test_an_owner_who_may_create_no_role_migrates_where_the_group_role_is_there(
    empty: Database, database: Database
) -> None:
    # As an operator sets a database up. The group role belongs to the server: the other database's migration made it.
    owner = f"owner_of_{empty.name}"
    await execute(database.admin_url, f"CREATE ROLE \"{owner}\" LOGIN PASSWORD 'ownersecret'")
    try:
        await execute(database.admin_url, f'ALTER DATABASE "{empty.name}" OWNER TO "{owner}"')
        assert (await migrate(login(empty.url, owner, "ownersecret"))).after == SCHEMA_VERSION
        async with PostgresEventStore.connect(empty.url) as store:
            await store.append([counted("a")])
        with pytest.raises(asyncpg.PostgresError, match="events are facts"):
            await execute(login(empty.url, owner, "ownersecret"), "DELETE FROM eventstore.events")
    finally:
        await execute(empty.admin_url, f'REASSIGN OWNED BY "{owner}" TO CURRENT_USER')
        await execute(empty.admin_url, f'DROP ROLE "{owner}"')


async def test_a_role_without_the_right_to_migrate_is_told(empty: Database) -> None:
    error = await refusal(empty.url, by_migrate=True)
    assert isinstance(error, StoreMisconfigured)
    assert str(error).startswith("this role has no right to migrate: name the database's owner in the address (")
    assert "permission denied" in str(error)
    assert not await has_schema(empty)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_lacks_characters_is_refused_before_anything_is_made(
    empty: Database, encoding: str
) -> None:
    name = f"{empty.name}_{encoding.lower()}"
    await execute(
        empty.admin_url,
        f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'",
    )
    narrow = Database(name=name, url=on(empty.url, name), admin_url=on(empty.admin_url, name), replica_urls=())
    try:
        with pytest.raises(StoreMisconfigured, match=f"encoding is {encoding}.*ENCODING 'UTF8' TEMPLATE template0"):
            await migrate(narrow.admin_url)
        assert not await has_schema(narrow)
    finally:
        await execute(empty.admin_url, f'DROP DATABASE "{name}" WITH (FORCE)')


async def test_a_database_whose_texts_are_sorted_in_another_way_now_is_refused(empty: Database) -> None:
    name = f"{empty.name}_sorted"
    url = on(empty.admin_url, name)
    locale = "TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
    await execute(empty.admin_url, f'CREATE DATABASE "{name}" {locale}')
    older = "UPDATE pg_database SET datcollversion = '0' WHERE datname = current_database()"
    try:
        await execute(url, older)
        with pytest.raises(StoreMisconfigured, match="ALTER DATABASE … REFRESH COLLATION VERSION"):
            await migrate(url)
        async with connected(url) as connection:
            assert await connection.fetchval("SELECT to_regnamespace('eventstore') IS NULL")
            await connection.execute(f'ALTER DATABASE "{name}" REFRESH COLLATION VERSION')
        await migrate(url)
        assert (await survey(url)).collation is None
        await execute(url, older)
        assert "made with 0, so that they may not find" in str((await survey(url)).collation)
    finally:
        await execute(empty.admin_url, f'DROP DATABASE "{name}" WITH (FORCE)')


LIMITS = ("statement_timeout", "lock_timeout", "transaction_timeout", "idle_in_transaction_session_timeout")


async def test_time_limits_of_a_database_hold_neither_for_migrations_nor_for_the_store(empty: Database) -> None:
    limits = (*LIMITS, "idle_session_timeout")
    for limit in limits:
        await execute(empty.admin_url, f"ALTER DATABASE \"{empty.name}\" SET {limit} = '1min'")
    told = "SELECT DISTINCT current_setting(n, true) FROM unnest($1::text[]) AS l (n)"
    async with connected(empty.admin_url) as connection:
        assert [row[0] for row in await connection.fetch(told, limits)] == ["1min"]
    async with administrator(empty.admin_url, purpose="test") as connection:
        assert [row[0] for row in await connection.fetch(told, limits)] == ["0"]
    assert (await migrate(empty.admin_url)).after == SCHEMA_VERSION
    async with PostgresEventStore.connect(empty.url, replica_urls=[empty.url]) as store:
        for pool in (store._pools.primary, *store._pools.replicas):
            assert [row[0] for row in await pool.fetch(told, [limits], seconds=20)] == ["0"]


@pytest.mark.parametrize(
    "setting",
    [
        "search_path = 'nowhere'",
        "standard_conforming_strings = off",
        "default_transaction_isolation = 'serializable'",
        "session_replication_role = 'replica'",
        "check_function_bodies = off",
    ],
)
async def test_a_migration_does_not_depend_on_what_a_database_sets_for_its_sessions(
    empty: Database, setting: str
) -> None:
    await execute(empty.admin_url, f'ALTER DATABASE "{empty.name}" SET {setting}')
    assert (await migrate(empty.admin_url)).after == SCHEMA_VERSION
    async with PostgresEventStore.connect(empty.url) as store:
        assert (await store.append([counted("a")], boundary=ANY)).first == 1


async def test_a_migration_tells_of_a_database_that_accepts_no_writes(empty: Database) -> None:
    await execute(empty.admin_url, f'ALTER DATABASE "{empty.name}" SET default_transaction_read_only = on')
    with pytest.raises(StoreUnavailable, match="accepts no writes: it is a standby, or default_transaction_read_only"):
        await migrate(empty.admin_url)
