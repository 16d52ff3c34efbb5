"""Building anew: beside the tables that readers read, and then in their place, whatever they were derived from."""

import asyncio
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import asyncpg
import pytest

from eventstore.postgres import PostgresEventStore, Session, migrate
from handlers import Projection
from tests.integration.reading.projecting import (
    book,
    booked,
    check_balances,
    coordinating,
    lose,
    reached,
    rows,
)
from tests.support.domains.ledger import balances, balances_of, ledger
from tests.support.fixtures.databases import TENANT, Database
from tests.support.fixtures.waiting import eventually
from worker.errors import ProjectionError
from worker.reading.builds import Declared, Superseded
from worker.reading.coordinator import Coordinator
from worker.reading.followers import Followers

CURRENT = "SELECT follower_id, version FROM reading.followers WHERE is_current AND name = 'balances'"


async def _is_replaced(url: str, before: object) -> None:
    async def is_replaced() -> bool:
        return await rows(url, CURRENT) != before

    await eventually(is_replaced, what="the new build to take the place of the old one")


async def test_a_projection_is_built_anew_while_readers_read_and_events_come(database: Database) -> None:
    domain = ledger(balances)
    reading = await asyncpg.connect(database.url)
    async with PostgresEventStore.connect(database.url) as store, coordinating(database.url, domain):
        for _ in range(3):
            await store.append([booked(f"a{n % 7}") for n in range(1000)])
        await reached(database.url, await book(store, "a1"))
        before = await rows(database.admin_url, CURRENT)
        session = Session(database.url, purpose="test")
        assert await Declared(domain=domain, projection=balances).rebuild(session)
        seen = 0
        while await rows(database.admin_url, CURRENT) == before:
            at = await book(store, "a1", "a2")
            await reached(database.url, at)
            total = await reading.fetchval("SELECT sum(total) FROM read_ledger.totals")
            # Never fewer than there were: the new tables are shown once they have caught up with the old ones.
            assert total >= max(seen, 3001)
            seen = total
        await reached(database.url, await book(store, "a3"))
        await check_balances(database.url)
        assert await rows(database.admin_url, "SELECT count(*) FROM reading.followers") == [(1,)]

        async def are_gone() -> bool:
            ((old, _),) = before
            return not (
                await rows(database.admin_url, "SELECT FROM pg_namespace WHERE nspname = $1", f"projection_{old}")
            )

        await eventually(are_gone, what="the old tables to go")
        await session.close()
    await reading.close()


async def test_one_domain_has_read_models_in_each_schema_of_a_database(database: Database) -> None:
    await migrate(database.admin_url, schema=TENANT)
    worker = urlsplit(database.url).username
    await rows(database.admin_url, f'GRANT {TENANT}_runtime, {TENANT}_projections TO "{worker}"')
    current, url = CURRENT.replace("reading.", f"{TENANT}_reading."), database.url
    async with (
        PostgresEventStore.connect(url) as ours,
        PostgresEventStore.connect(url, schema=TENANT) as theirs,
        coordinating(url, ledger(balances)),
        coordinating(url, ledger(balances), schema=TENANT),
    ):
        await reached(url, await book(ours, "a"))
        await reached(url, await book(theirs, "b", "b"), schema=TENANT)
        # Each begins to number at 1: what is built anew gets the tables that it needs all the same.
        assert await rows(database.admin_url, CURRENT) == await rows(database.admin_url, current) == [(1, 1)]
        session = Session(url, purpose="test", schema=TENANT)
        assert await Declared(domain=ledger(balances), projection=balances).rebuild(session)

        async def is_replaced() -> bool:
            return await rows(database.admin_url, current) == [(2, 1)]

        await eventually(is_replaced, what="the new build to take the place of the old one")
        await session.close()
        await reached(url, await book(theirs, "b"), schema=TENANT)
        assert await rows(url, "SELECT account, total FROM read_ledger.totals") == [("a", 1)]
        their_totals = f"SELECT account, total FROM {TENANT}_read_ledger.totals"  # noqa: S608  a constant
        assert await rows(url, their_totals) == [("b", 3)]
        assert await rows(database.admin_url, CURRENT) == [(1, 1)]
    owners = await rows(
        database.admin_url,
        "SELECT DISTINCT nspowner::regrole::text FROM pg_namespace WHERE nspname ~ '^(tenant_1_)?(read|projection)_' "
        "ORDER BY 1",
    )
    assert owners == [("eventstore_projections",), (f"{TENANT}_projections",)]


async def test_a_new_version_brings_its_columns_and_keeps_who_may_read(database: Database) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        async with coordinating(database.url, ledger(balances)):
            await reached(database.url, await book(store, "a", "b"))
        admin = await asyncpg.connect(database.admin_url)
        await admin.execute("GRANT SELECT ON read_ledger.accounts TO PUBLIC")
        before = await rows(database.admin_url, CURRENT)
        async with coordinating(database.url, ledger(balances_of(2))):
            await _is_replaced(database.admin_url, before)
            await reached(database.url, await book(store, "c"))
            assert await rows(database.url, "SELECT * FROM read_ledger.accounts ORDER BY account") == [
                ("a", "wider", 1, 1),
                ("b", "wider", 2, 1),
                ("c", "wider", 3, 1),
            ]
        granted = "SELECT has_table_privilege('pg_monitor', 'read_ledger.accounts', 'SELECT')"
        assert await admin.fetchval(granted)
        assert await admin.fetchval("SELECT to_regclass('read_ledger.totals') IS NULL")
        await admin.close()


async def test_a_version_before_the_one_that_readers_read_rests_and_says_so(database: Database) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        async with coordinating(database.url, ledger(balances_of(2))):
            await reached(database.url, await book(store, "a"))
        async with coordinating(database.url, ledger(balances)) as older:
            (problem,) = older.problems.values()
            assert "version 1 in this program" in problem
            assert "readers read version 2" in problem
            assert older.running == {}


async def test_a_version_goes_on_until_a_later_one_that_is_being_built_takes_its_place(database: Database) -> None:
    later = Declared(domain=ledger(balances_of(2)), projection=balances_of(2))
    session = Session(database.url, purpose="test")
    async with PostgresEventStore.connect(database.url) as store, coordinating(database.url, ledger(balances)) as older:
        await reached(database.url, await book(store, "a"))
        before = await rows(database.admin_url, CURRENT)
        await later.register(session)  # as a process does that begins, and has read nothing yet
        await reached(database.url, await book(store, "b"))
        assert older.problems == {}
        async with coordinating(database.url, later.domain):
            await _is_replaced(database.admin_url, before)
            await reached(database.url, await book(store, "c"))
            shown = await rows(database.url, "SELECT account, note FROM read_ledger.accounts ORDER BY 1")
            assert shown == [(account, "wider") for account in "abc"]

            async def has_problems() -> bool:
                return bool(older.problems)

            await eventually(has_problems, what="the older version to rest")
            assert "readers read version 2" in older.problems[later.name]
    await session.close()


async def test_a_later_version_that_was_withdrawn_while_it_was_built_gives_way(database: Database) -> None:
    earlier = Declared(domain=ledger(balances), projection=balances)
    later = Declared(domain=ledger(balances_of(2)), projection=balances_of(2))
    session = Session(database.url, purpose="test")
    async with PostgresEventStore.connect(database.url) as store, coordinating(database.url, ledger(balances)):
        await reached(database.url, await book(store, "a"))
        before = await rows(database.admin_url, CURRENT)
        await later.register(session)
        build = "SELECT follower_id FROM reading.followers WHERE NOT is_current"
        ((building,),) = await rows(database.admin_url, build)
        async with session.transaction() as transaction:
            fence = await Followers(transaction).take(building, "a process that builds it", 60.0)
        with pytest.raises(Superseded, match="version 2 is being built"):
            await earlier.rebuild(session)
        async with session.transaction() as transaction:
            await Followers(transaction).release(building, fence or 0)
        assert await earlier.rebuild(session)
        await _is_replaced(database.admin_url, before)
        await reached(database.url, await book(store, "b"))
        assert await rows(database.admin_url, "SELECT version FROM reading.followers") == [(1,)]
    await session.close()


async def test_other_tables_without_another_version_are_refused(database: Database) -> None:
    async with coordinating(database.url, ledger(balances)):
        pass
    changed = Projection(name="balances", events=balances.events, tables=balances.tables[:2], changes=balances.changes)
    with pytest.raises(ProjectionError, match=r"ledger\.balances are declared differently from those of version 1"):
        async with coordinating(database.url, ledger(changed)):
            pass


async def test_what_was_derived_from_a_history_that_was_rewritten_is_built_anew(database: Database) -> None:
    async with PostgresEventStore.connect(database.url) as store, AsyncExitStack() as stack:
        coordinator = await stack.enter_async_context(coordinating(database.url, ledger(balances)))
        await reached(database.url, await book(store, "kept", "lost", "lost"))
        before = await rows(database.admin_url, CURRENT)
        await lose(database.admin_url, above=1)
        await book(store, "new", "new", "new", "new")
        await _is_replaced(database.admin_url, before)
        await reached(database.url, await book(store, "new"))
        await check_balances(database.url)
        assert await rows(database.url, "SELECT account FROM read_ledger.totals WHERE account = 'lost'") == []
        assert coordinator.problems == {}


async def test_what_was_derived_from_a_lost_history_is_of_no_position_until_it_is_built_anew(
    database: Database,
) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        async with coordinating(database.url, ledger(balances)):
            await reached(database.url, await book(store, "kept", "lost"))
        ((follower, _),) = await rows(database.admin_url, CURRENT)
        await rows(database.admin_url, "SELECT reading.diverge_v1($1, fence) FROM reading.followers", follower)
        found = "SELECT number FROM reading.position_v1('projection', 'ledger', 'balances')"
        assert await rows(database.url, found) == [(0,)]


async def test_a_view_that_is_made_of_a_table_keeps_it_from_changing_its_columns_and_is_named(
    database: Database,
) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        async with coordinating(database.url, ledger(balances)):
            await reached(database.url, await book(store, "a"))
        admin = await asyncpg.connect(database.admin_url)
        await admin.execute("CREATE VIEW public.mine AS SELECT account FROM read_ledger.accounts")
        before = await rows(database.admin_url, CURRENT)
        async with coordinating(database.url, ledger(balances_of(2))) as coordinator:
            await _troubled(coordinator, "mine depends on it")
            assert await rows(database.admin_url, CURRENT) == before
            await admin.execute("DROP VIEW public.mine")
            await _is_replaced(database.admin_url, before)
        await admin.close()


async def _troubled(coordinator: Coordinator, text: str) -> None:
    async def is_troubled() -> bool:
        return any(text in (running.trouble or "") for running in coordinator.running.values())

    await eventually(is_troubled, what=f"a trouble with {text!r}")


@pytest.mark.parametrize(
    ("sql", "refusal"),
    [
        ("CREATE SCHEMA read_ledger", "the schema read_ledger belongs to"),
        (
            "CREATE SCHEMA read_ledger AUTHORIZATION eventstore_projections; CREATE TABLE read_ledger.accounts (x int)",
            "read_ledger.accounts belongs to",
        ),
    ],
)
async def test_what_is_somebody_elses_is_left_alone(database: Database, sql: str, refusal: str) -> None:
    admin = await asyncpg.connect(database.admin_url)
    await admin.execute(sql)
    await admin.close()
    with pytest.raises(ProjectionError, match=refusal):
        async with coordinating(database.url, ledger(balances)):
            await asyncio.sleep(0)
    assert await rows(database.admin_url, "SELECT FROM reading.followers") == []
