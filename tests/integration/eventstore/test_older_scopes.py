"""Workers of builds from before scopes beside those of this one: a command is decided once, whoever gets it again."""

import asyncio
from functools import partial
from uuid import UUID, uuid4

import pytest

from eventstore import Append, Outcome, OutcomeKind, StoreMisconfigured
from eventstore.jsontext import decode_object
from eventstore.postgres import SCHEMA_VERSION, PostgresEventStore, migrate
from eventstore.postgres.statements import statement
from tests.integration.eventstore.older_build import Read, brought_to, older_build
from tests.integration.eventstore.questions import ANY, counted, numbers, request
from tests.integration.eventstore.staging import Connection, connected
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually

PARTS = 2
OLDER = 4
COMMAND = b"a command"
START = Read(0, 0, 0)


def of_domain(name: str | None) -> Outcome:
    return Outcome(kind=OutcomeKind.ACCEPTED, details={} if name is None else {"domain": name})


def command(key: UUID, domain: str | None = "library", *, digest: bytes = COMMAND) -> Append:
    """A command as a worker of an older build records it."""
    return request(counted("a"), key=key, digest=digest, outcome=of_domain(domain))


@pytest.fixture(params=[PARTS, OLDER])
async def served(empty: Database, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database of an older build, migrated; of one from before parts, not finished, so that append_v1 is served."""
    await brought_to(empty, request.param, monkeypatch)
    await migrate(empty.admin_url)
    return empty


async def test_what_an_older_build_recorded_is_found_by_its_domain_alone(served: Database) -> None:
    key = uuid4()
    async with older_build(served.url) as build, PostgresEventStore.connect(served.url) as store:
        (row,) = await build.append_v2([command(key)])
        assert row["verdict"] == "appended"
        again = await store.append([counted("x")], key=key, scope="library", digest=COMMAND)
        assert (again.first, again.duplicate, again.outcome) == (1, True, of_domain("library"))
        other = await store.append([counted("x")], key=key, scope="shop", digest=COMMAND)
        assert (other.first, other.duplicate) == (2, False)


@pytest.mark.parametrize("digest", [COMMAND, b"another"])
async def test_an_older_build_finds_what_this_one_recorded_for_its_domain(served: Database, digest: bytes) -> None:
    key, verdict = uuid4(), "duplicate" if digest == COMMAND else "reused"
    async with older_build(served.url) as build, PostgresEventStore.connect(served.url) as store:
        await store.append([counted("x")], key=key, scope="shop", digest=COMMAND, outcome=of_domain("shop"))
        receipt = await store.append(
            [counted("x")], key=key, scope="library", digest=COMMAND, outcome=of_domain("library")
        )
        (row,) = await build.append_v2([command(key, digest=digest)])
        assert row["verdict"] == verdict
        if verdict == "duplicate":
            assert (row["first_number"], row["position"]) == (2, 2)
            assert decode_object(row["detail"])["details"] == {"domain": "library"}
        assert numbers(await store.query(ANY)) == [1, 2]
        assert await store.receipt(key, scope="library") == receipt


async def test_an_older_build_decides_for_a_domain_that_has_not_decided(served: Database) -> None:
    key = uuid4()
    async with older_build(served.url) as build, PostgresEventStore.connect(served.url) as store:
        await store.append([counted("x")], key=key, scope="shop", digest=COMMAND, outcome=of_domain("shop"))
        (row,) = await build.append_v2([command(key)])
        assert (row["verdict"], row["first_number"]) == ("appended", 2)
        receipt = await store.receipt(key, scope="library")
        assert receipt is not None
        assert (receipt.first, receipt.scope) == (2, "")
        # Each again, to the other build.
        assert (await store.append([counted("y")], key=key, scope="library", digest=COMMAND)).first == 2
        (row,) = await build.append_v2([command(key, "shop")])
        assert (row["verdict"], row["first_number"]) == ("duplicate", 1)


async def test_of_an_older_build_that_names_no_domain_the_digest_tells(served: Database) -> None:
    key, other = uuid4(), uuid4()
    async with older_build(served.url) as build, PostgresEventStore.connect(served.url) as store:
        await store.append([counted("x")], key=key, scope="library", digest=COMMAND)
        rows = await build.append_v2([command(key, None), command(other, None), command(other, None)])
        assert [row["verdict"] for row in rows] == ["duplicate", "appended", "duplicate"]
        (row,) = await build.append_v2([command(key, None, digest=b"another")])
        assert row["verdict"] == "appended"


async def test_a_build_from_before_parts_is_served_alike(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await brought_to(empty, PARTS, monkeypatch)
    await migrate(empty.admin_url)
    payloads, key, other = ['{"Key": "a"}'], uuid4(), uuid4()
    library = '{"domain": "library"}'
    async with older_build(empty.url) as build, PostgresEventStore.connect(empty.url) as store:
        for scope in ("shop", "library"):
            await store.append([counted("x")], key=key, scope=scope, digest=COMMAND, outcome=of_domain(scope))
        row = await build.append(payloads, "a", after=START, key=key, digest=COMMAND, details=library)
        assert (row["verdict"], row["first_number"], row["position"]) == ("duplicate", 2, 2)
        assert decode_object(row["detail"]) == {"domain": "library"}
        row = await build.append(payloads, "a", after=START, key=other, digest=COMMAND, details=library)
        assert (row["verdict"], row["first_number"]) == ("appended", 3)
        again = await store.append([counted("x")], key=other, scope="library", digest=COMMAND)
        assert (again.first, again.duplicate) == (3, True)
        row = await build.append(payloads, "a", after=START, key=key, digest=b"another", details=library)
        assert row["verdict"] == "reused"


async def test_both_builds_get_one_command_at_the_same_time_and_one_decides(served: Database) -> None:
    keys = [uuid4() for _ in range(20)]
    async with (
        older_build(served.url) as build,
        PostgresEventStore.connect(served.url) as one,
        PostgresEventStore.connect(served.url) as other,
    ):

        async def redelivered(store: PostgresEventStore) -> None:
            for key in keys:
                await store.append(
                    [counted("a")], key=key, scope="library", digest=COMMAND, outcome=of_domain("library")
                )

        async def redelivered_to_older() -> None:
            for key in reversed(keys):
                await build.append_v2([command(key)])

        await asyncio.gather(redelivered(one), redelivered(other), redelivered_to_older())
        assert numbers(await one.query(ANY)) == list(range(1, len(keys) + 1))
        assert len([receipt async for receipt in one.all_receipts()]) == len(keys)


async def test_receipts_from_before_are_kept_and_no_row_is_written_anew(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await brought_to(empty, OLDER, monkeypatch)
    key = uuid4()
    async with connected(empty.admin_url) as admin, older_build(empty.url) as build:
        await build.append_v2([command(key)])
        file = "SELECT pg_relation_filenode('eventstore.receipts')"
        before = await admin.fetchval(file)
        await migrate(empty.admin_url)
        assert await admin.fetchval(file) == before
        async with PostgresEventStore.connect(empty.url) as store:
            (receipt,) = await store.receipts_of(key)
            assert (receipt.scope, receipt.first) == ("", 1)


# It is made by then, and waits for whoever has looked at the receipts before. Other databases of the server build, too.
_BUILDS = """
SELECT pid FROM pg_stat_progress_create_index
WHERE datname = current_database() AND relid = 'eventstore.receipts'::regclass AND phase = 'waiting for old snapshots'
"""


async def is_building(admin: Connection) -> bool:
    return bool(await admin.fetch(_BUILDS))


async def test_the_index_is_built_while_appends_go_on_and_anew_after_an_interruption(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await brought_to(empty, OLDER, monkeypatch)
    async with connected(empty.admin_url) as admin, older_build(empty.url) as build:
        async with connected(empty.admin_url) as old:
            # A transaction that has looked at the receipts, such as a dump's: the index waits for its end.
            transaction = old.transaction(isolation="repeatable_read")
            await transaction.start()
            await old.fetch("SELECT FROM eventstore.events")
            migrating_task = asyncio.create_task(migrate(empty.admin_url))
            await eventually(partial(is_building, admin), what="the index to be under way")
            for _ in range(3):
                (row,) = await build.append_v2([command(uuid4())])
                assert row["verdict"] == "appended"
            migrating_task.cancel()
            await asyncio.gather(migrating_task, return_exceptions=True)
            for row in await admin.fetch(_BUILDS):
                await admin.execute("SELECT pg_terminate_backend($1)", row["pid"])
            await transaction.rollback()
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('eventstore.receipts_key_scope')"
        assert await admin.fetchval(valid) is False
        assert (await migrate(empty.admin_url)).after == SCHEMA_VERSION
        identity = (
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = 'eventstore.receipts'::regclass AND contype = 'p'"
        )
        assert await admin.fetchval(identity) == "PRIMARY KEY (key, scope)"
        assert await admin.fetchval("SELECT to_regclass('eventstore.receipts_key_scope') IS NULL")
        assert await admin.fetchval("SELECT count(*) FROM eventstore.receipts") == 3


async def test_a_migration_does_not_wait_long_for_the_receipts(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await brought_to(empty, OLDER, monkeypatch)
    monkeypatch.setattr("eventstore.postgres.administration.migrations._LOCK_TIMEOUT", "50ms")
    async with connected(empty.admin_url) as reader, reader.transaction():
        await reader.execute("LOCK TABLE eventstore.receipts IN ACCESS SHARE MODE")
        with pytest.raises(StoreMisconfigured, match=r"longer than 50ms: .* run `worker db migrate` again"):
            await migrate(empty.admin_url)
    assert (await migrate(empty.admin_url)).after == SCHEMA_VERSION


async def test_a_page_of_receipts_is_read_from_the_index(admin: Connection) -> None:
    await admin.execute(
        "INSERT INTO eventstore.receipts SELECT gen_random_uuid(), '', 'unchanged', NULL, '{}', NULL, NULL, 0, 0, now()"
        " FROM generate_series(1, 5000)"
    )
    await admin.execute("ANALYZE eventstore.receipts")
    await admin.execute(f"PREPARE page AS {statement('receipts_page')}")
    await admin.execute("SET plan_cache_mode = force_generic_plan")
    plan = await admin.fetch("EXPLAIN (ANALYZE) EXECUTE page ('80000000-0000-0000-0000-000000000000', '', 10)")
    assert any("Index Scan using receipts_pkey" in row[0] for row in plan), plan
    assert not any("Sort" in row[0] for row in plan), plan
