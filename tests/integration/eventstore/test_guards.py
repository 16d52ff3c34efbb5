"""Guard rails in the database, for hands and programs that do not go through the store."""

import itertools
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from eventstore import StoreMisconfigured
from eventstore.jsontext import decode_object
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.appends.batch import columns
from eventstore.postgres.statements import statement
from tests.integration.eventstore.questions import ANY, counted, request
from tests.integration.eventstore.staging import Connection, connected, refused
from tests.support.fixtures.databases import Database

TABLES = ("events", "store", "receipts", "schema_version", "states")
CHANGES = (
    "UPDATE eventstore.events SET event_type = 'Other'",
    "UPDATE eventstore.events SET event_type = 'Other' WHERE false",
    "DELETE FROM eventstore.events",
    "TRUNCATE eventstore.events",
    "TRUNCATE eventstore.store, eventstore.events",
    "MERGE INTO eventstore.events e USING eventstore.store s ON true WHEN MATCHED THEN DELETE",
    "INSERT INTO eventstore.events TABLE eventstore.events ON CONFLICT (sequence_number) DO UPDATE SET token = 1",
)
ATTEMPTS = (
    "UPDATE eventstore.events SET event_type = 'Other'",
    "UPDATE eventstore.store SET singleton = true",
    "UPDATE eventstore.receipts SET reason = 'Other'",
    "ALTER TABLE eventstore.events DISABLE TRIGGER events_are_facts",
    "SET session_replication_role = replica",
    "CREATE TABLE eventstore.mine ()",
    "CREATE FUNCTION eventstore.mine() RETURNS integer LANGUAGE sql RETURN 1",
    "CREATE OR REPLACE FUNCTION eventstore.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "DROP FUNCTION eventstore.append_v3",
    "ALTER SCHEMA eventstore RENAME TO mine",
    "CREATE SCHEMA mine",
    "SELECT eventstore.refuse_change()",
)
ATTEMPTS_ON_EACH = (
    "INSERT INTO eventstore.{0} TABLE eventstore.{0}",
    "DELETE FROM eventstore.{0}",
    "TRUNCATE eventstore.{0}",
    "DROP TABLE eventstore.{0}",
    "SELECT FROM eventstore.{0} FOR UPDATE",
    "LOCK TABLE eventstore.{0} IN SHARE MODE",
    "CREATE INDEX ON eventstore.{0} ((true))",
)


@pytest.fixture
async def recorded(store: PostgresEventStore) -> AsyncIterator[PostgresEventStore]:
    """A store with one event, which is still there, and alone, when the test has ended."""
    await store.append([counted("a")])
    before = await store.query(ANY)
    yield store
    assert await store.query(ANY) == before
    assert (await store.append([counted("b")])).first == 2


@pytest.fixture
async def stranger(admin: Connection, database: Database) -> AsyncIterator[str]:
    """The address of a role that may log in, and is no member of the runtime role."""
    role = f"stranger_{database.name}"
    await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'strange'")
    parts = urlsplit(database.url)
    yield parts._replace(netloc=f"{role}:strange@{parts.netloc.rpartition('@')[2]}").geturl()
    await admin.execute(f"DROP ROLE {role}")


@pytest.mark.usefixtures("recorded")
async def test_not_even_the_superuser_changes_an_event(admin: Connection) -> None:
    for mode, change in itertools.product(("origin", "replica", "local"), CHANGES):
        await admin.execute(f"SET session_replication_role = {mode}")
        assert await refused(admin, change) == "ES003", (mode, change)


@pytest.mark.usefixtures("recorded")
async def test_the_runtime_role_may_read_and_append_and_nothing_else(runtime: Connection) -> None:
    for attempt in (*ATTEMPTS, *(attempt.format(table) for attempt in ATTEMPTS_ON_EACH for table in TABLES)):
        assert await refused(runtime, attempt) == "42501", attempt
    for table in TABLES:
        await runtime.fetch(f"SELECT * FROM eventstore.{table}")  # noqa: S608


async def test_temporary_objects_of_the_same_names_deceive_nobody(
    recorded: PostgresEventStore, runtime: Connection
) -> None:
    for table in TABLES:
        await runtime.execute(f"CREATE TEMPORARY TABLE {table} (LIKE eventstore.{table} INCLUDING ALL)")
    await runtime.execute("INSERT INTO pg_temp.store VALUES (true)")
    await runtime.execute("INSERT INTO pg_temp.events VALUES (41, 41, 'Counted', now(), '{}', '{}')")
    await runtime.execute(
        "CREATE FUNCTION pg_temp.hashtextextended(text, bigint) RETURNS bigint LANGUAGE sql RETURN 4;"
        "CREATE FUNCTION pg_temp.jsonb_each(jsonb) RETURNS TABLE (key text, value jsonb)"
        " LANGUAGE sql AS 'SELECT NULL::text, NULL::jsonb';"
        "CREATE DOMAIN pg_temp.bigint AS integer"
    )
    await runtime.execute("SET search_path = pg_temp, pg_catalog")
    outside = request(counted("x"), boundary=ANY)
    (row,) = await runtime.fetch(statement("append"), *columns([outside]))
    assert row["verdict"] == "conflict"
    assert decode_object(row["detail"])["number"] == 1
    assert await runtime.fetchval("SELECT count(*) FROM pg_temp.receipts") == 0
    assert await runtime.fetchval("SELECT count(*) FROM pg_temp.events") == 1
    assert (await recorded.query(ANY)).position.number == 1


async def test_a_stranger_may_neither_read_nor_append(stranger: str) -> None:
    async with connected(stranger) as connection:
        assert await connection.fetchval("SELECT 1") == 1
        for attempt in ("SELECT FROM eventstore.events", "SELECT FROM eventstore.store"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(attempt)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(statement("append"), *columns([request(counted("a"))]))
    with pytest.raises(StoreMisconfigured, match="member of eventstore_runtime"):
        async with PostgresEventStore.connect(stranger):
            pass


async def test_the_right_to_see_the_schema_is_no_right_to_append(
    recorded: PostgresEventStore, admin: Connection, stranger: str
) -> None:
    role = urlsplit(stranger).username
    await admin.execute(f"GRANT USAGE ON SCHEMA eventstore TO {role}")
    try:
        async with connected(stranger) as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append_v3"):
                await connection.fetch(statement("append"), *columns([request(counted("a"))]))
    finally:
        await admin.execute(f"REVOKE USAGE ON SCHEMA eventstore FROM {role}")
    assert (await recorded.query(ANY)).position.number == 1


async def test_the_guard_itself_is_no_function_to_call(admin: Connection) -> None:
    with pytest.raises(asyncpg.FeatureNotSupportedError, match="trigger"):
        await admin.execute("SELECT eventstore.refuse_change()")
