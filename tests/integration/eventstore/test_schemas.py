"""Several stores in one database, each in a schema of its own: none sees, locks, blocks or guards another."""

import asyncio
import importlib
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from eventstore import START, Consistency, StateKey, StoredState, StoreMisconfigured
from eventstore.postgres import (
    PostgresEventStore,
    adopt,
    count_prunable,
    drop_states,
    find_imports,
    forget,
    import_events,
    list_states,
    measure,
    migrate,
    prune,
    receipts_since,
    survey,
)
from eventstore.schema_name import RESERVED_WORDS
from eventstore.subject_key import Subject
from tests.integration.eventstore.questions import ANY, counted, keys
from tests.integration.eventstore.staging import Connection, connected
from tests.support.fixtures.databases import TENANT, Database

migrating = importlib.import_module("eventstore.postgres.administration.migrations")

STATE = StoredState(
    key=StateKey(domain="d", view="v", version=1, key="a", filter_digest=b""),
    position=START,
    state=b"{}",
    events=0,
    sensitive=True,
)
# All that a store ever takes: the lock row; its advisory locks; those of a name that follows the log.
_HOLD = """
SELECT FROM eventstore.store FOR UPDATE;
SELECT pg_advisory_xact_lock(1163284301, 13), pg_advisory_xact_lock(4715018260310003);
SELECT reading.lock_v1('projection', 'ledger', 'balances');
"""
_FOREIGN = """
SELECT count(*) FROM pg_proc p
WHERE p.pronamespace::regnamespace::text LIKE 'tenant_1%'
    AND concat_ws(' ', p.prosrc, p.proconfig) ~ '\\m(eventstore|reading[.]|schedule[.])'
"""
NOBODY = (
    r"^the database has no event store in the schema nobody yet, or an older one: run `worker db migrate` \([^\n]*\)$"
)


@pytest.fixture
async def both(database: Database, admin: Connection) -> Database:
    """The test's database, with another store beside the usual one."""
    await migrate(database.admin_url, schema=TENANT)
    worker = urlsplit(database.url).username
    await admin.execute(f'GRANT {TENANT}_runtime, {TENANT}_projections TO "{worker}"')
    return database


async def test_each_has_a_log_receipts_and_rights_of_its_own(both: Database, admin: Connection) -> None:
    key = uuid4()
    async with (
        PostgresEventStore.connect(both.url) as ours,
        PostgresEventStore.connect(both.url, schema=TENANT) as theirs,
        asyncpg.create_pool(both.url, min_size=1, max_size=2) as pool,
        PostgresEventStore.over(pool, schema=TENANT) as lent,
    ):
        first, second = await asyncio.gather(
            ours.append([counted("a")], key=key), theirs.append([counted("b"), counted("c")], key=key)
        )
        assert (first.first, second.first, second.last, second.duplicate) == (1, 1, 2, False)
        assert (keys(await ours.query(ANY)), keys(await lent.query(ANY))) == (["a"], ["b", "c"])
        names = [str(store._telemetry.database["db.namespace"]) for store in (ours, theirs, lent)]
        assert names == [f"{both.name}|eventstore", *2 * [f"{both.name}|{TENANT}"]]
    for schema, other, count in (("eventstore", TENANT, 1), (TENANT, "eventstore", 2)):
        found = await survey(both.url, schema=schema)
        assert (found.schema, found.head, found.may_work, found.may_change, found.guarded) == (
            *(schema, count, True, False, True),
        )
        measures = await measure(both.admin_url, schema=schema)
        assert measures.database["head"] == count
        # Who may work in one of them may not even look into the other.
        for role in ("runtime", "projections"):
            await admin.execute(f"SET ROLE {schema}_{role}")
            beside = "" if schema == "eventstore" else f"{schema}_"
            own = f"{schema}.events" if role == "runtime" else f"{beside}reading.followers"
            await admin.execute(f"SELECT FROM {own}")
            foreign = "" if other == "eventstore" else f"{other}_"
            for sql in (
                f"SELECT FROM {other}.events",
                f"SELECT FROM {other}.head_v1()",
                f"SELECT {other}.put_state_v2(NULL, '', '', 1, '', '', 0, 0, '', 0, false)",
                f"SELECT FROM {foreign}reading.followers",
                f"SELECT FROM {foreign}schedule.commands",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await admin.execute(sql)
            await admin.execute("RESET ROLE")
        only = f"{both.url}?options=-c%20role%3D{other}_runtime"
        with pytest.raises(StoreMisconfigured, match=rf"let it log in as a member of {schema}_runtime \("):
            await PostgresEventStore.connect(only, schema=schema)


async def test_whatever_one_holds_the_other_does_not_wait_for(both: Database) -> None:
    subject = Subject("ReaderID", "ada")
    async with (
        connected(both.admin_url) as holder,
        holder.transaction(),
        PostgresEventStore.connect(both.url, schema=TENANT) as theirs,
    ):
        await holder.execute(_HOLD)
        await holder.execute("SELECT pg_advisory_xact_lock($1)", migrating._LOCK)
        digest = STATE.key.digest.hex()
        await holder.execute(f"SELECT pg_advisory_xact_lock(hashtextextended('{digest}', 0))")
        async with asyncio.timeout(30):
            async with theirs.exclusive() as hold:
                assert hold.position == START
            assert (await theirs.append([counted("a")])).first == 1
            await theirs.store_state(STATE)
            assert None not in await theirs.stored_states([STATE.key], consistency=Consistency.STRONG)
            assert (await forget(both.admin_url, subject, schema=TENANT)).number is None
            assert (await migrate(both.admin_url, schema=TENANT, partition_size=10_000, wait_seconds=5)).partitioned
            async with connected(both.url) as beside:
                await beside.execute(f"SELECT {TENANT}_reading.lock_v1('projection', 'ledger', 'balances')")
    # The reaper, too, is of one of them alone: the log that was put into partitions is the tenant's.
    assert (await survey(both.url)).partition_size is None
    found = await survey(both.url, schema=TENANT)
    assert (found.partition_size, found.partitions > 0, found.guarded) == (10_000, True, True)


async def test_what_an_administrator_does_concerns_one_of_them(both: Database, admin: Connection) -> None:
    assert await admin.fetchval(_FOREIGN) == 0
    assert (await migrate(both.admin_url, schema=TENANT)).applied == ()
    async with (
        PostgresEventStore.connect(both.url) as ours,
        PostgresEventStore.connect(both.url, schema=TENANT) as theirs,
    ):
        await ours.append([counted("a"), counted("b")], key=uuid4())
        await ours.store_state(STATE)
        # The source is named by whoever names it, not by us.
        found = await adopt(both.admin_url, both.admin_url, schema=TENANT, table="eventstore.events")
        assert (found.table, found.adopted) == (2, 2)
        done = await import_events(both.admin_url, [counted("c")], name="file", schema=TENANT)
        assert (done.first, done.last) == (3, 3)
        assert keys(await theirs.query(ANY)) == ["a", "b", "c"]
        assert {each.kind for each in await find_imports(both.admin_url, schema=TENANT)} == {"adoption", "file"}
        assert await find_imports(both.admin_url) == []

        await theirs.append([counted("d")], key=uuid4())
        age = f"UPDATE {TENANT}.receipts SET recorded_at = now() - interval '9 days'"  # noqa: S608  a constant
        await admin.execute(age)
        old = await count_prunable(both.admin_url, timedelta(days=2), schema=TENANT)
        assert (old.receipts, (await count_prunable(both.admin_url, timedelta(days=2))).receipts) == (1, 0)
        assert await prune(both.admin_url, old, schema=TENANT) == 1
        assert await receipts_since(both.url, schema=TENANT) is not None
        assert await receipts_since(both.url) is None

        await theirs.store_state(STATE)
        assert await drop_states(both.admin_url, schema=TENANT) == 1
        assert [each.states for each in await list_states(both.admin_url)] == [1]
        assert keys(await ours.query(ANY)) == ["a", "b"]


async def test_a_store_whose_name_begins_with_the_usual_one_is_made_and_repaired(
    database: Database, admin: Connection
) -> None:
    name = "eventstore_2"
    assert (await migrate(database.admin_url, schema=name)).before == 0
    await admin.execute(f"ALTER TABLE {name}.events ENABLE TRIGGER events_are_facts")
    assert (await migrate(database.admin_url, schema=name)).repaired
    found = await survey(database.admin_url, schema=name)
    assert (found.schema, found.guarded) == (name, True)
    # The roles are named after it, as those of any other.
    assert (
        await admin.fetchval("SELECT count(*) FROM pg_roles WHERE rolname ~ '^eventstore_2_(runtime|projections)$'")
        == 2
    )


async def test_a_schema_without_a_store_is_told_in_a_sentence(database: Database, admin: Connection) -> None:
    for asking in (
        PostgresEventStore.connect(database.url, schema="nobody"),
        list_states(database.admin_url, schema="nobody"),
        survey(database.url, schema="nobody"),
    ):
        with pytest.raises(StoreMisconfigured, match=NOBODY):
            await asking
    with pytest.raises(StoreMisconfigured, match=r"^no schema can be called 'order', which is a word of SQL: "):
        await migrate(database.admin_url, schema="order")
    reserved = await admin.fetch("SELECT word FROM pg_get_keywords() WHERE catcode IN ('C', 'R', 'T')")
    assert {row["word"] for row in reserved} <= RESERVED_WORDS
