"""Workers of an older build beside those of this one, until the second step of the migration; and then no more."""

import asyncio
import importlib
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from eventstore import ConcurrencyConflict, Event, StoreMisconfigured
from eventstore.postgres import SCHEMA_VERSION, PostgresEventStore, migrate
from eventstore.postgres.connections.session_name import MARK, session_name
from eventstore.postgres.statements import migrations
from tests.integration.eventstore.older_build import OlderBuild, older_build
from tests.integration.eventstore.questions import ANY, counted, keys, numbers, of
from tests.integration.eventstore.staging import Connection, connected, head_locked, terminate
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually

# The package has a function of the module's name.
migrating = importlib.import_module("eventstore.postgres.administration.migrations")

OLDER = 2
EACH = 25
Validated = list[tuple[int, tuple[str, str], int]]
PAIRS = [(f"k{place}", f"k{(place + 1) % 4}") for place in range(4)]


@pytest.fixture
async def older(empty: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database as the older build has made it."""
    monkeypatch.setattr(migrating, "migrations", lambda: migrations()[:OLDER])
    assert (await migrate(empty.admin_url)).after == OLDER
    monkeypatch.undo()
    return empty


@pytest.fixture
async def both(older: Database) -> Database:
    """A database for both builds."""
    report = await migrate(older.admin_url)
    assert (report.before, report.after, report.finished) == (OLDER, SCHEMA_VERSION, ())
    assert [step.version for step in report.unfinished] == [OLDER + 1]
    return older


async def schema(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Everything that can be said of the event store's objects."""
    questions = {
        "tables": "SELECT c.relname, c.relkind, c.reloptions, c.relacl::text FROM pg_class c WHERE {}",
        "columns": "SELECT c.relname, a.attname, a.atttypid::regtype, a.attnotnull, pg_get_expr(d.adbin, d.adrelid)"
        " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE {}",
        "constraints": "SELECT c.relname, o.conname, pg_get_constraintdef(o.oid)"
        " FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid WHERE {}",
        "indexes": "SELECT pg_get_indexdef(i.indexrelid)"
        " FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE {}",
        "triggers": "SELECT pg_get_triggerdef(t.oid), t.tgenabled"
        " FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE {}",
        "functions": "SELECT pg_get_functiondef(c.oid), c.proacl::text FROM pg_proc c WHERE c.pro{}",
        "rows": "SELECT to_jsonb(v) - 'migrated_at' FROM eventstore.schema_version v",
        "lock": "SELECT to_jsonb(s) FROM eventstore.store s",
    }
    found = {}
    async with connected(database.admin_url) as connection:
        for name, question in questions.items():
            kind = "namespace = 'eventstore'::regnamespace"
            rows = await connection.fetch(question.format(kind if "c.pro{}" in question else f"c.rel{kind}"))
            found[name] = sorted((tuple(row) for row in rows), key=repr)
    return found


async def test_a_database_that_was_migrated_and_finished_is_as_a_fresh_one(both: Database, database: Database) -> None:
    assert await schema(both) != await schema(database)
    report = await migrate(both.admin_url, finish=True)
    assert ([step.version for step in report.finished], report.unfinished) == ([OLDER + 1], ())
    assert await schema(both) == await schema(database)
    assert (await schema(both))["lock"] == [('{"singleton": true}',)]
    again = await migrate(both.admin_url, finish=True)
    assert (again.applied, again.finished, again.unfinished) == ((), (), ())


async def test_a_dry_run_says_what_it_would_finish_and_does_nothing(both: Database) -> None:
    before = await schema(both)
    report = await migrate(both.admin_url, finish=True, dry_run=True)
    assert [step.version for step in report.finished] == [OLDER + 1]
    assert await schema(both) == before


async def of_older_build(build: OlderBuild, pair: tuple[str, str], validated: Validated) -> None:
    for turn in range(EACH):
        while True:
            read = await build.query(*pair)
            payloads = [json.dumps({"Key": pair[0], "Pair": pair, "Total": read.events})] if turn % 3 else []
            row = await build.append(payloads, *pair, after=read, key=uuid4())
            if row["verdict"] == "appended":
                if not payloads:
                    validated.append((row["position"], pair, read.events))
                break
            assert row["verdict"] == "conflict"


async def of_this_build(store: PostgresEventStore, pair: tuple[str, str], validated: Validated) -> None:
    for turn in range(EACH):
        while True:
            read = await store.query(of(*pair))
            total = len(read.events)
            event = Event(type="Counted", payload={"Key": pair[0], "Pair": pair, "Total": total})
            events = [event] if turn % 3 else []
            try:
                receipt = await store.append(events, boundary=of(*pair), after=read.position, key=uuid4())
            except ConcurrencyConflict:
                continue
            if not events:
                validated.append((receipt.position.number, pair, total))
            break


async def test_both_builds_append_side_by_side_and_nobody_decides_wrongly(both: Database) -> None:
    validated: Validated = []
    async with (
        PostgresEventStore.connect(both.url) as one,
        PostgresEventStore.connect(both.url) as other,
        older_build(both.url) as first,
        older_build(both.url) as second,
        older_build(both.url) as third,
    ):
        await asyncio.gather(
            *(of_this_build(store, pair, validated) for store in (one, other) for pair in PAIRS),
            *(of_older_build(build, PAIRS[place], validated) for place, build in enumerate((first, second, third))),
        )
        log = await one.query(ANY)
        read = await first.query("k0")
    assert numbers(log) == list(range(1, len(log.events) + 1))
    assert (read.number, read.token) == (log.position.number, log.position.token)
    totals: Counter[str] = Counter()
    after: dict[int, Counter[str]] = {0: Counter()}
    for event in log.events:
        pair = event.payload["Pair"]
        assert event.payload["Total"] == totals[pair[0]] + totals[pair[1]], event
        totals[pair[0]] += 1
        after[event.sequence_number] = Counter(totals)
    assert len(validated) == (2 * len(PAIRS) + 3) * len(range(0, EACH, 3))
    for number, pair, total in validated:
        assert after[number][pair[0]] + after[number][pair[1]] == total


async def test_each_build_waits_for_the_other_and_sees_what_it_wrote(both: Database) -> None:
    async with (
        PostgresEventStore.connect(both.url) as store,
        older_build(both.url) as build,
        connected(both.admin_url) as admin,
    ):
        start = await build.query("a")
        async with head_locked(both.admin_url):
            ours = asyncio.create_task(store.append([counted("a")], boundary=of("a")))
            theirs = asyncio.create_task(build.append(['{"Key": "a"}'], "a", after=start))
            await _both_wait(admin)
        answers = await asyncio.gather(ours, theirs, return_exceptions=True)
        assert keys(await store.query(ANY)) == ["a"]
        passed = not isinstance(answers[0], BaseException)
        verdict = answers[1]
        assert not isinstance(verdict, BaseException)
        assert verdict["verdict"] == ("conflict" if passed else "appended")


async def _both_wait(admin: Connection) -> None:
    async def waits() -> bool:
        count = await admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(count == 2)

    await eventually(waits, what="both to wait for their turn")


async def test_finishing_is_refused_while_an_older_build_is_connected(both: Database) -> None:
    async with (
        older_build(both.url, name="worker load"),
        older_build(both.url, name=""),
        PostgresEventStore.connect(both.url) as store,
    ):
        with pytest.raises(StoreMisconfigured) as refusal:
            await migrate(both.admin_url, finish=True)
        assert str(refusal.value) == (
            "an older build may still be at work: a session without a name (role worker, 1 connected), "
            "worker load (role worker, 1 connected); stop it, then run `worker db migrate --finish` again"
        )
        assert (await store.append([counted("a")])).first == 1
    async with older_build(both.admin_url), connected(both.admin_url):
        # A superuser's session is a person's, unless it is named as ours are.
        with pytest.raises(StoreMisconfigured, match=r"at work: worker \(role admin, 1 connected\);"):
            await migrate(both.admin_url, finish=True)
    async with PostgresEventStore.connect(both.url) as store:
        assert [step.version for step in (await migrate(both.admin_url, finish=True)).finished] == [OLDER + 1]
        assert (await store.append([counted("a")], boundary=of("b"))).first == 2


async def test_what_a_pooler_adds_to_a_name_does_not_hide_the_mark(both: Database) -> None:
    added = " - 10.0.0.1:5000"
    async with older_build(both.url, name="worker run" + added):
        with pytest.raises(StoreMisconfigured, match=r"at work: worker run - 10.0.0.1:5000 \("):
            await migrate(both.admin_url, finish=True)
    async with (
        PostgresEventStore.connect(both.url, application_name="worker run") as store,
        connected(both.url) as pooled,
    ):
        await pooled.execute("SELECT set_config('application_name', $1, false)", session_name("worker run") + added)
        assert (await migrate(both.admin_url, finish=True)).finished
        assert (await store.append([counted("a")])).first == 1


async def test_finishing_is_refused_while_a_transaction_is_older_than_the_migration(
    older: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Those after it build an index, and would wait for the transaction themselves.
    monkeypatch.setattr(migrating, "migrations", lambda: migrations()[: OLDER + 2])
    async with connected(older.admin_url) as old:
        await old.execute("SET application_name = 'pg_dump'")
        transaction = old.transaction(isolation="repeatable_read")
        await transaction.start()
        await old.execute("SELECT 1")
        await migrate(older.admin_url)
        with pytest.raises(
            StoreMisconfigured, match=r"pg_dump \(role admin, in a transaction older than the migration\)"
        ):
            await migrate(older.admin_url, finish=True)
        await transaction.rollback()
    assert (await migrate(older.admin_url, finish=True)).finished


async def test_finishing_does_not_wait_for_who_works_with_another_store_of_the_database(
    older: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "migrations", lambda: migrations()[: OLDER + 2])
    stranger = f"stranger_{older.name}"
    async with connected(older.admin_url) as admin:
        await admin.execute(f"CREATE ROLE {stranger} LOGIN PASSWORD 'theirs'")
        try:
            address = urlsplit(older.admin_url)
            theirs = address._replace(netloc=f"{stranger}:theirs@{address.netloc.rpartition('@')[2]}").geturl()
            async with connected(theirs) as old, old.transaction():
                await old.execute("SET application_name = 'worker'")
                await migrate(older.admin_url)
                assert (await migrate(older.admin_url, finish=True)).finished
        finally:
            await admin.execute(f"DROP ROLE {stranger}")


async def test_finishing_does_not_wait_long_for_the_tables(both: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrating, "_LOCK_TIMEOUT", "50ms")
    async with head_locked(both.admin_url):
        with pytest.raises(StoreMisconfigured, match="has locked the event store's tables for longer than 50ms"):
            await migrate(both.admin_url, finish=True)
    assert (await migrate(both.admin_url, finish=True)).finished


_MIGRATE = """
import asyncio, sys
from eventstore.postgres import migrate
asyncio.run(migrate(sys.argv[1], finish=sys.argv[2] == "finish"))
"""


@asynccontextmanager
async def migrating_process(database: Database, step: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program that migrates, or finishes a migration."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _MIGRATE, database.admin_url, step)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("step", ["migrate", "finish"])
async def test_a_migration_that_is_killed_halfway_leaves_everything_as_it_was(
    empty: Database, database: Database, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    finish = step == "finish"
    for known in (OLDER, SCHEMA_VERSION if finish else SCHEMA_VERSION - 1):
        monkeypatch.setattr(migrating, "migrations", lambda known=known: migrations()[:known])
        await migrate(empty.admin_url)
    monkeypatch.undo()
    before = await schema(empty)
    async with connected(empty.admin_url) as admin:
        async with connected(empty.admin_url) as other, other.transaction():
            # It is written last, after all that the step changes.
            await other.execute("SELECT FROM eventstore.schema_version FOR UPDATE")
            async with migrating_process(empty, step) as process:
                await eventually(partial(_writes_version, admin), what="the step to be nearly done")
                process.kill()
                await process.wait()
        # Another migration waits until the server has noticed.
        report = await migrate(empty.admin_url, finish=finish, dry_run=True)
        assert (report.applied, report.finished) != ((), ())
        assert await schema(empty) == before
        await migrate(empty.admin_url)
        assert (await migrate(empty.admin_url, finish=True)).unfinished == ()
    assert await schema(empty) == await schema(database)


async def _writes_version(admin: Connection) -> bool:
    query = (
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND query LIKE 'UPDATE eventstore.schema_version%')"
    )
    return bool(await admin.fetchval(query))


async def test_after_the_finish_an_older_build_is_told_to_go(both: Database) -> None:
    async with older_build(both.url) as build:
        start = await build.query("a")
    await migrate(both.admin_url, finish=True)
    async with older_build(both.url) as build:
        with pytest.raises(asyncpg.PostgresError, match="start one that calls append_v2") as refusal:
            await build.append(['{"Key": "a"}'], "a", after=start)
        # Its worker takes that for a server that cannot serve now, and pauses.
        assert refusal.value.sqlstate == "55000"
        with pytest.raises(asyncpg.UndefinedColumnError):
            await build.query("a")
    async with PostgresEventStore.connect(both.url) as store:
        assert (await store.query(ANY)).events == ()


async def test_a_fresh_database_needs_no_finishing(database: Database) -> None:
    async with older_build(database.url):
        report = await migrate(database.admin_url, finish=True)
        assert (report.finished, report.unfinished) == ((), ())


async def test_every_session_of_a_store_has_the_mark(both: Database) -> None:
    long = "reader of the logs of long ago and of all that followed"
    async with (
        PostgresEventStore.connect(both.url, application_name=long) as store,
        connected(both.admin_url) as admin,
    ):
        await store.append([counted("a")])
        # The server's own processes, as that of a vacuum, have no name.
        query = (
            "SELECT application_name FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> $1"
        )
        names = {row[0] for row in await admin.fetch(query, admin.get_server_pid())}
        assert names == {session_name(long)}
        (name,) = names
        assert name == "reader of the logs of long ago and of all that followed"[: 63 - len(MARK)] + MARK
        pids = await admin.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = $1", name)
        for row in pids:
            await terminate(admin, row["pid"])
        assert (await store.append([counted("a")], key=uuid4())).first == 2
