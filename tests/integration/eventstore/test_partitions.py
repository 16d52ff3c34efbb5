"""A log in partitions: how its table becomes the first of them, how further ones come, and that each is as guarded."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from functools import partial

import asyncpg
import pytest

from eventstore import START, Consistency, EventStoreError, InvalidRequest, StoreMisconfigured, StoreUnavailable
from eventstore.postgres import PostgresEventStore, measure, migrate, survey
from eventstore.postgres.administration import partitioning
from eventstore.postgres.appends.batch import columns
from eventstore.postgres.statements import statement
from tests.integration.eventstore.questions import ANY, counted, keys, numbers, of, request
from tests.integration.eventstore.staging import (
    Connection,
    connected,
    head_locked,
    refused,
    room_made,
    terminate,
    waiting,
)
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually

SIZE = 10
# Whoever has it is making partitions.
MAKING = 4_715_018_260_310_003


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Partitions may be small."""
    monkeypatch.setattr(partitioning, "LEAST_SIZE", 1)


@pytest.fixture
async def partitioned(database: Database) -> Database:
    """A database whose log is in partitions of ten events, with ten events in it."""
    async with PostgresEventStore.connect(database.url) as store:
        await store.append([counted(f"k{place % 3}") for place in range(10)])
    assert (await migrate(database.admin_url, partition_size=SIZE)).partitioned
    return database


@pytest.fixture
async def inside(partitioned: Database) -> AsyncIterator[Connection]:
    """The superuser's connection to it."""
    async with connected(partitioned.admin_url) as connection:
        yield connection


async def bounds(connection: Connection) -> list[tuple[int, int]]:
    rows = await connection.fetch("SELECT first_number, last_number FROM eventstore.partitions ORDER BY 1")
    return [tuple(row) for row in rows]


async def names(connection: Connection) -> list[str]:
    return [row[0] for row in await connection.fetch("SELECT name FROM eventstore.partitions ORDER BY first_number")]


async def test_a_log_becomes_partitions_while_workers_append(database: Database, admin: Connection) -> None:
    stop = asyncio.Event()

    async def work(store: PostgresEventStore, key: str) -> int:
        done = 0
        while not stop.is_set() or done < 30:
            read = await store.query(of(key))
            assert len(read.events) == done
            await store.append([counted(key)], boundary=of(key), after=read.position)
            done += 1
        return done

    async with (
        PostgresEventStore.connect(database.url) as one,
        PostgresEventStore.connect(database.url) as other,
        asyncio.TaskGroup() as group,
    ):
        workers = [group.create_task(work(store, f"k{place}")) for place, store in enumerate((one, other, one, other))]
        report = await migrate(database.admin_url, partition_size=20)
        stop.set()
        counts = await asyncio.gather(*workers)
        log = await one.query(ANY)
    assert report.partitioned
    assert numbers(log) == list(range(1, sum(counts) + 1))
    # Its table has a whole number of sizes, and what comes after it is made ahead.
    (first, *others) = await bounds(admin)
    assert (first[0], first[1] % 20) == (1, 0)
    assert [last - number + 1 for number, last in others] == [20] * len(others)
    assert [number for number, _ in others] == [last + 1 for _, last in [first, *others][:-1]]
    assert (await migrate(database.admin_url, partition_size=20)).partitioned is False


async def test_no_event_is_moved_or_read_when_the_table_becomes_a_partition(
    database: Database, admin: Connection
) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        await store.append([counted("a")] * 5)
    before = await admin.fetchrow("SELECT oid, relfilenode FROM pg_class WHERE oid = 'eventstore.events'::regclass")
    await admin.fetch("SELECT eventstore.bound_events($1)", SIZE)
    await admin.execute(statement("validate_bound"))
    told: list[str] = []
    await admin.execute("SET client_min_messages = debug1")
    admin.add_log_listener(lambda _, message: told.append(message.message or ""))
    await admin.fetch("SELECT eventstore.partition_events($1)", SIZE)
    after = await admin.fetchrow("SELECT oid, relfilenode FROM pg_class WHERE relname = 'events_from_1'")
    assert before == after
    implied = 'partition constraint for table "events_from_1" is implied by existing constraints'
    assert implied in told
    assert 'verifying table "events_from_1"' not in told


async def _waits(admin: Connection) -> bool:
    return bool(await _waiting_migration(admin))


async def _waiting_migration(admin: Connection) -> int | None:
    found: int | None = await admin.fetchval(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        " AND application_name LIKE 'worker db migrate%'"
    )
    return found


@pytest.mark.parametrize("steps_done", [0, 1, 2])
async def test_a_migration_that_is_killed_at_a_step_is_gone_on_with(
    database: Database, admin: Connection, steps_done: int
) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        await store.append([counted("a")] * 5)
        # Asked later, when there are partitions, it would know of them, and make further ones.
        await room_made(store)
        if steps_done > 0:
            await admin.fetch("SELECT eventstore.bound_events($1)", SIZE)
        if steps_done > 1:
            await admin.execute(statement("validate_bound"))
        # What conflicts with the step, and with none before it.
        mode = "SHARE UPDATE EXCLUSIVE" if steps_done == 1 else "ACCESS SHARE"
        async with connected(database.admin_url) as other, other.transaction():
            await other.execute(f"LOCK TABLE eventstore.events IN {mode} MODE")
            migrating = asyncio.create_task(migrate(database.admin_url, partition_size=SIZE))
            await eventually(partial(_waits, admin), what="the migration to wait for the table")
            await terminate(admin, await _waiting_migration(admin) or 0)
            with pytest.raises(EventStoreError):
                await migrating
        assert await admin.fetchval("SELECT count(*) FROM eventstore.partitions") == 0
        assert (await store.append([counted("b")])).first == 6
        assert (await migrate(database.admin_url, partition_size=SIZE)).partitioned
        assert (await store.append([counted("b")] * 20)).last == 26
        assert numbers(await store.query(ANY)) == list(range(1, 27))
    assert await bounds(admin) == [(1, 20), (21, 30)]


async def test_a_transaction_that_has_the_table_for_long_is_named_and_no_event_waits_for_ever(
    database: Database,
) -> None:
    async with connected(database.admin_url) as other, other.transaction():
        await other.execute("SELECT FROM eventstore.events")
        with pytest.raises(
            StoreMisconfigured, match=r"has locked the event store's tables for longer than 2s.*--partition-s"
        ):
            await migrate(database.admin_url, partition_size=SIZE)
        async with PostgresEventStore.connect(database.url) as store:
            assert (await store.append([counted("a")])).first == 1


async def test_a_bound_that_was_left_and_reached_pauses_and_is_put_further_away(
    database: Database, admin: Connection
) -> None:
    assert (await survey(database.url)).bound is None
    await admin.fetch("SELECT eventstore.bound_events($1)", SIZE)
    assert (await survey(database.url)).bound == 10
    async with PostgresEventStore.connect(database.url) as store:
        await store.append([counted("a")] * 10)
        # Asked later, when there are partitions, it would know of them, and make further ones.
        await room_made(store)
        # Not as a mistake of the request, which would be a dead letter.
        with pytest.raises(StoreUnavailable, match="the bound that an interrupted `worker db migrate --part"):
            await store.append([counted("b")])
        await migrate(database.admin_url, partition_size=SIZE)
        assert (await store.append([counted("b")])).first == 11
    assert await bounds(admin) == [(1, 20), (21, 30)]
    assert (await survey(database.url)).bound is None


async def test_a_dry_run_and_a_migration_without_the_option_leave_the_layout_as_it_is(
    database: Database, admin: Connection
) -> None:
    assert (await migrate(database.admin_url, partition_size=SIZE, dry_run=True)).partitioned
    assert not (await migrate(database.admin_url)).partitioned
    assert await bounds(admin) == []
    assert await admin.fetchval("SELECT relkind FROM pg_class WHERE oid = 'eventstore.events'::regclass") == b"r"
    await migrate(database.admin_url, partition_size=SIZE)
    before = await bounds(admin)
    assert not (await migrate(database.admin_url)).partitioned
    assert await bounds(admin) == before != []


async def test_an_empty_database_begins_in_partitions(empty: Database) -> None:
    assert (await migrate(empty.admin_url, partition_size=SIZE, dry_run=True)).partitioned
    assert (await migrate(empty.admin_url, partition_size=SIZE)).partitioned
    async with connected(empty.admin_url) as connection, PostgresEventStore.connect(empty.url) as store:
        assert await bounds(connection) == [(1, 10), (11, 20)]
        assert (await store.query(ANY)).position.number == 0
        assert (await store.append([counted("a")], boundary=ANY)).first == 1


async def test_another_size_holds_for_further_partitions(partitioned: Database, inside: Connection) -> None:
    before = await bounds(inside)
    assert (await migrate(partitioned.admin_url, partition_size=100)).partitioned
    assert await bounds(inside) == [*before, (before[-1][1] + 1, before[-1][1] + 100), *(await bounds(inside))[-1:]]
    assert (await bounds(inside))[-1][1] - 10 >= 150


async def test_a_size_that_is_none_is_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for size in (0, -1, 9_999, 2**62):
        with pytest.raises(InvalidRequest, match="a partition's size must be from 10,000 to"):
            await migrate(database.admin_url, partition_size=size)


@pytest.mark.parametrize(
    ("obstacle", "named"),
    [
        ("CREATE VIEW public.seen AS SELECT * FROM eventstore.events", "rule _RETURN on view seen"),
        (
            "CREATE FUNCTION public.many() RETURNS bigint RETURN (SELECT count(*) FROM eventstore.events)",
            "function many()",
        ),
        ("CREATE TABLE public.noted (n bigint REFERENCES eventstore.events)", "constraint noted_n_fkey on table noted"),
        ("CREATE PUBLICATION changes FOR TABLE eventstore.events", "publication changes"),
        (
            "CREATE TRIGGER telling BEFORE INSERT ON eventstore.events"  # noqa: ISC004  one statement
            " FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "trigger telling on table eventstore.events",
        ),
    ],
    ids=["view", "function", "reference", "publication", "trigger"],
)
async def test_what_would_not_see_further_partitions_is_named_and_nothing_is_done(
    database: Database, admin: Connection, obstacle: str, named: str
) -> None:
    await admin.execute(obstacle)
    with pytest.raises(StoreMisconfigured) as error:
        await migrate(database.admin_url, partition_size=SIZE)
    assert f"would not see further partitions: {named}; drop them" in str(error.value)
    assert await bounds(admin) == []
    assert not await admin.fetchval(
        "SELECT EXISTS (SELECT FROM pg_constraint WHERE conname = 'events_first_partition')"
    )


async def test_rights_settings_and_owner_go_on(database: Database, admin: Connection) -> None:
    role = f"reporter_{database.name}"
    await admin.execute(f'CREATE ROLE "{role}"')
    try:
        await admin.execute(f'GRANT SELECT ON eventstore.events TO "{role}" WITH GRANT OPTION')
        await admin.execute("ALTER TABLE eventstore.events SET (autovacuum_vacuum_insert_scale_factor = 0.05)")
        await migrate(database.admin_url, partition_size=SIZE)
        described = await admin.fetch(
            "SELECT c.relowner::regrole::text, array_to_string(ARRAY(SELECT a::text FROM unnest(c.relacl) a"
            " ORDER BY 1), ','), c.reloptions FROM pg_class c WHERE c.oid IN (SELECT oid FROM eventstore.partitions)"
        )
        assert len(described) == 2
        (one,) = {(row[0], row[1], tuple(row[2])) for row in described}
        assert f"{role}=r*/" in one[1]
        assert {"vacuum_truncate=off", "autovacuum_vacuum_insert_scale_factor=0.05"} < set(one[2])
        parent = await admin.fetchrow(
            "SELECT c.relowner::regrole::text, array_to_string(ARRAY(SELECT a::text FROM unnest(c.relacl) a"
            " ORDER BY 1), ',') FROM pg_class c WHERE c.oid = 'eventstore.events'::regclass"
        )
        assert parent is not None
        assert tuple(parent) == one[:2]
        indexes = await admin.fetch(
            "SELECT p.name, count(*), bool_or(c.reloptions = '{fastupdate=off}') FROM eventstore.partitions p"
            " JOIN pg_index i ON i.indrelid = p.oid JOIN pg_class c ON c.oid = i.indexrelid GROUP BY 1 ORDER BY 1"
        )
        assert [tuple(row) for row in indexes] == [("events_from_1", 4, True), ("events_from_11", 4, True)]
    finally:
        await admin.execute(f'DROP OWNED BY "{role}"')
        await admin.execute(f'DROP ROLE "{role}"')


CHANGES = (
    "UPDATE {} SET event_type = 'Other'",
    "UPDATE {} SET event_type = 'Other' WHERE false",
    "UPDATE {} SET sequence_number = sequence_number + 10",
    "DELETE FROM {}",
    "TRUNCATE {}",
)
ATTEMPTS = (
    *CHANGES,
    "INSERT INTO {0} TABLE {0}",
    "DROP TABLE {}",
    "ALTER TABLE {} DISABLE TRIGGER events_are_facts",
    "ALTER TABLE eventstore.events DETACH PARTITION {}",
    "SELECT FROM {} FOR UPDATE",
    "SELECT eventstore.add_partition(1001, 10)",
    "SELECT eventstore.define_head()",
    "SELECT eventstore.bound_events(10)",
    "SELECT eventstore.partition_events(10)",
    "SELECT eventstore.copy_rights('eventstore.events', 'eventstore.store')",
    "UPDATE eventstore.partitioning SET size = 1",
    "CREATE OR REPLACE FUNCTION eventstore.head_v1() RETURNS TABLE (n bigint) LANGUAGE sql AS 'SELECT 1::bigint'",
)


async def test_no_partition_is_changed_by_whomever_and_however(partitioned: Database, inside: Connection) -> None:
    async with PostgresEventStore.connect(partitioned.url) as store:
        for _ in range(4):  # into the next ones, and further ones come
            await store.append([counted("a")] * 10)
        await eventually(partial(_reaches, inside, 55), what="partitions beyond the head")
        before = await store.query(ANY)
        tables = ["eventstore.events", *(f"eventstore.{name}" for name in await names(inside))]
        assert len(tables) >= 6
        for mode, change, table in itertools.product(("origin", "replica", "local"), CHANGES, tables):
            await inside.execute(f"SET session_replication_role = {mode}")
            assert await refused(inside, change.format(table)) == "ES003", (mode, change, table)
        async with connected(partitioned.url) as runtime:
            for attempt, table in itertools.product(ATTEMPTS, tables):
                assert await refused(runtime, attempt.format(table)) == "42501", (attempt, table)
            for table in tables:
                await runtime.fetch(f"SELECT * FROM {table}")  # noqa: S608  a name of ours
        assert await store.query(ANY) == before
        assert (await store.append([counted("b")])).first == 51


async def test_a_guard_that_is_off_on_one_partition_is_seen_and_switched_on(
    partitioned: Database, inside: Connection
) -> None:
    assert (await survey(partitioned.url)).guarded
    for trigger, table in itertools.product(("events_are_facts", "event_is_a_fact"), await names(inside)):
        await inside.execute(f"ALTER TABLE eventstore.{table} ENABLE TRIGGER {trigger}")
        assert not (await survey(partitioned.url)).guarded
        repaired = (await migrate(partitioned.admin_url)).repaired
        assert repaired == (f"the trigger {trigger} of eventstore.{table}, which did not always fire",)
        assert (await survey(partitioned.url)).guarded


async def test_partitions_are_made_ahead_by_who_appends(partitioned: Database, inside: Connection) -> None:
    async with PostgresEventStore.connect(partitioned.url) as store:
        for first in range(11, 101):
            assert (await store.append([counted(f"k{first % 3}")])).first == first
        await eventually(partial(_reaches, inside, 115), what="partitions beyond the head")
        assert numbers(await store.query(ANY)) == list(range(1, 101))
        found = await store.query(of("k1"))
        assert {first % 3 for first in numbers(found)[4:]} == {1}
        # In the middle of a partition, and at its ends.
        for above in (19, 20, 21, 99, 100):
            tail = await store.query(of("k0", "k1", "k2").narrowed_above(above))
            assert numbers(tail) == list(range(above + 1, 101))
    # Only the one with the log's end, and those after it, are looked at for it.
    looked_at = await inside.fetchval("SELECT prosrc FROM pg_proc WHERE proname = 'head_v1'")
    assert 2 <= looked_at.count("eventstore.events_from_") <= 5
    assert "eventstore.events_from_21 " not in looked_at


async def _reaches(inside: Connection, number: int) -> bool:
    return (await bounds(inside))[-1][1] >= number


async def test_without_a_partition_an_append_makes_one_and_goes_on(partitioned: Database, inside: Connection) -> None:
    async with PostgresEventStore.connect(partitioned.url) as store:
        last = (await bounds(inside))[-1][1]
        # As a build that does not know of partitions goes on.
        async with connected(partitioned.url) as older:
            fill = [request(counted("b")) for _ in range(last - 10)]
            await older.fetch(statement("append"), *columns(fill))
            with pytest.raises(asyncpg.CheckViolationError, match="no partition of relation"):
                await older.fetch(statement("append"), *columns([request(counted("b"))]))
        assert (await store.append([counted("c")])).first == last + 1
        assert (await bounds(inside))[-1][1] >= last + 15


async def test_without_a_partition_that_can_be_made_nothing_is_lost(partitioned: Database, inside: Connection) -> None:
    async with PostgresEventStore.connect(partitioned.url) as store:
        last = (await bounds(inside))[-1][1]
        await inside.execute("SELECT pg_advisory_lock($1)", MAKING)
        await store.append([counted("b")] * (last - 10))
        with pytest.raises(StoreUnavailable, match="no partition for the next events: run `worker db migrate`"):
            await store.append([counted("c")])
        assert (await survey(partitioned.url)).last_number == last
        await inside.execute("SELECT pg_advisory_unlock($1)", MAKING)
        assert (await store.append([counted("c")])).first == last + 1


async def test_an_append_does_not_wait_for_a_partition_that_is_made(partitioned: Database, inside: Connection) -> None:
    async with PostgresEventStore.connect(partitioned.url) as store, inside.transaction():
        await inside.execute("UPDATE eventstore.partitioning SET size = 100")
        before = await bounds(inside)
        await inside.fetch(statement("extend"), 0)
        assert len(await bounds(inside)) > len(before)  # and not yet committed
        for _ in range(3):
            read = await asyncio.wait_for(store.query(of("x")), 20)
            await asyncio.wait_for(store.append([counted("x")], boundary=of("x"), after=read.position), 20)
    assert (await migrate(partitioned.admin_url)).partitioned is False


async def test_an_append_that_ends_while_the_store_closes_makes_no_partition(
    partitioned: Database, admin: Connection
) -> None:
    store = await PostgresEventStore.connect(partitioned.url)
    async with head_locked(partitioned.admin_url):
        append = asyncio.create_task(store.append([counted("a")]))
        await waiting(admin, 1)
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
    await closing
    assert (await append).first == 11
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_migration_waits_for_a_partition_that_is_made(
    partitioned: Database, inside: Connection, admin: Connection
) -> None:
    # The log ends in another partition than when the functions were defined: both define them anew.
    await inside.fetch(statement("append"), *columns([request(*[counted("x")] * 11)]))
    async with asyncio.TaskGroup() as group:
        async with inside.transaction():
            await inside.execute("UPDATE eventstore.partitioning SET size = 100")
            await inside.fetch(statement("extend"), 0)
            migration = group.create_task(migrate(partitioned.admin_url))
            await eventually(partial(_migration_waits, admin), what="the migration to wait")
        assert not (await migration).applied
    defined = await inside.fetchval("SELECT prosrc FROM pg_proc WHERE oid = 'eventstore.head_v2'::regproc")
    for name in (await names(inside))[1:]:
        assert name in defined


async def _migration_waits(admin: Connection) -> bool:
    waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE $1"
    return bool(await admin.fetchval(waits, "%db migrate%"))


async def test_a_partition_that_cannot_be_made_now_is_told_and_made_later(
    partitioned: Database, inside: Connection, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.postgres.appends.room._ASK_EVERY", 1)
    async with PostgresEventStore.connect(partitioned.url) as store:
        async with connected(partitioned.admin_url) as other, other.transaction():
            # As a maintenance of the table has it.
            await other.execute("LOCK TABLE eventstore.events IN SHARE UPDATE EXCLUSIVE MODE")
            with caplog.at_level(logging.WARNING, logger="eventstore"):
                await store.append([counted("a")] * 6)
                await eventually(
                    partial(_told, caplog, "the next partition of the log could not be made"), what="the warning"
                )
        before = await bounds(inside)
        await store.append([counted("a")])
        await eventually(partial(_reaches, inside, before[-1][1] + 1), what="the partition")


async def _told(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return text in caplog.text


async def test_of_many_that_make_a_partition_at_once_one_does(partitioned: Database, inside: Connection) -> None:
    await inside.execute("UPDATE eventstore.partitioning SET size = 1000")
    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(_extended(partitioned.url))
    assert [last - first + 1 for first, last in (await bounds(inside))[-2:]] == [1000, 1000]


async def _extended(url: str) -> None:
    async with connected(url) as connection:
        await connection.fetch(statement("extend"), 0)


async def test_a_batch_that_waits_while_the_table_becomes_a_partition_is_recorded(
    database: Database, admin: Connection
) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        await store.append([counted("a")])
        async with head_locked(database.admin_url):
            appending = asyncio.create_task(store.append([counted("b")], boundary=of("c")))
            await waiting(admin, 1)
            # The one that waits has made no look at the events yet.
            await migrate(database.admin_url, partition_size=SIZE)
        assert (await appending).first == 2
        assert keys(await store.query(ANY)) == ["a", "b"]


async def test_the_figures_of_partitions_are_added_up(partitioned: Database, inside: Connection) -> None:
    async with PostgresEventStore.connect(partitioned.url) as store:
        await store.append([counted("a")] * 10)
    await inside.execute("VACUUM ANALYZE eventstore.events")
    found = await measure(partitioned.url)
    (events,) = [row for row in found.tables if row["name"].startswith("events")]
    assert (events["name"], events["estimated_rows"]) == ("events", 20)
    assert events["partitions"] == len(await bounds(inside))
    assert events["bytes"] >= 8192
    indexes = {row["name"]: row for row in found.indexes if row["table_name"] == "events"}
    assert set(indexes) == {"events_pkey", "events_payload", "events_type", "events_occurred_at"}
    assert indexes["events_pkey"]["bytes"] >= 2 * 8192
    assert found.database["head"] == 20


async def test_a_survey_tells_how_much_room_there_is(partitioned: Database, inside: Connection) -> None:
    found = await survey(partitioned.url)
    assert (found.partition_size, found.partitions, found.head) == (SIZE, len(await bounds(inside)), 10)
    assert found.last_number == (await bounds(inside))[-1][1]
    assert (found.missing_indexes, found.without_pending_list, found.may_work) == ((), True, True)
    assert not found.may_change
    await inside.execute("ALTER INDEX eventstore.events_from_1_payload_idx SET (fastupdate = on)")
    assert not (await survey(partitioned.url)).without_pending_list


async def test_older_builds_that_are_still_served_are_named(database: Database, admin: Connection) -> None:
    await admin.execute("UPDATE eventstore.schema_version SET finished = 2")
    with pytest.raises(StoreMisconfigured, match=r"older builds are still served.*--finish` first"):
        await migrate(database.admin_url, partition_size=SIZE)
    assert await bounds(admin) == []


async def test_a_replica_follows_from_one_partition_to_the_next(
    partitioned: Database,
) -> None:
    async with PostgresEventStore.connect(partitioned.url, replica_urls=partitioned.replica_urls) as store:
        head = START
        for _ in range(5):
            head = (await store.append([counted("r")] * 7)).position
            assert (await store.query(of("r"), min_position=head)).position == head

        async def follows() -> bool:
            return (await store.query(of("r"), consistency=Consistency.EVENTUAL, min_position=head)).replica

        await eventually(follows, what="the replica to reach the last partition")
    for url in partitioned.replica_urls:
        assert (await survey(url)).partition_size == SIZE
