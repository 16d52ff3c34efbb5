"""Sessions with settings under which an append could be wrong or lost: the server itself refuses it there."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest

from eventstore import START, ConcurrencyConflict, Event, Receipt, StoreMisconfigured
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.appends.batch import columns
from eventstore.postgres.connections.translation import translate
from eventstore.postgres.statements import statement
from tests.integration.eventstore.questions import ANY, counted, keys, of, request
from tests.integration.eventstore.staging import Connection, connected, lent
from tests.support.fixtures.administration import execute
from tests.support.fixtures.databases import Database
from tests.support.stores import KINDS, opened


async def append(connection: Connection) -> str:
    """Call the function as a program of somebody else's would."""
    rows = await connection.fetch(statement("append"), *columns([request(counted("a"), boundary=of("b"))]))
    return str(rows[0]["verdict"])


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_an_append_that_would_judge_by_an_old_snapshot_is_refused(runtime: Connection, isolation: str) -> None:
    assert await append(runtime) == "appended"
    with pytest.raises(asyncpg.PostgresError) as refusal:
        async with runtime.transaction(isolation=isolation):  # type: ignore[arg-type]
            await append(runtime)
    assert refusal.value.sqlstate == "ES001"
    assert isinstance(translate(refusal.value), StoreMisconfigured)
    assert "read committed" in str(translate(refusal.value))
    async with runtime.transaction(isolation="read_committed"):
        assert await append(runtime) == "appended"


@pytest.mark.parametrize("setting", ["off", "local", "remote_write"])
async def test_an_append_that_a_crash_could_undo_is_refused(runtime: Connection, setting: str) -> None:
    await runtime.execute(f"SET synchronous_commit = '{setting}'")
    with pytest.raises(asyncpg.PostgresError) as refusal:
        await append(runtime)
    assert refusal.value.sqlstate == "ES002"
    assert isinstance(translate(refusal.value), StoreMisconfigured)
    assert "synchronous_commit" in str(translate(refusal.value))
    for durable in ("on", "remote_apply"):
        await runtime.execute(f"SET synchronous_commit = '{durable}'")
        assert await append(runtime) == "appended"


async def test_a_store_brings_its_own_settings_whatever_the_database_says(database: Database) -> None:
    for setting in (
        "default_transaction_isolation = 'serializable'",
        "statement_timeout = '20s'",
        "lock_timeout = '20s'",
        "plan_cache_mode = auto",
    ):
        await execute(database.admin_url, f'ALTER DATABASE "{database.name}" SET {setting}')
    async with connected(database.url) as connection:
        assert await connection.fetchval("SHOW statement_timeout") == "20s"
    async with PostgresEventStore.connect(database.url) as store:
        receipt = await store.append([counted("a")], boundary=of("a"), after=(await store.query(of("a"))).position)
        assert (await store.query(ANY)).position == receipt.position
        async with lent(store._pools.primary) as connection:
            shown = [
                await connection.fetchval(f"SHOW {name}")
                for name in ("synchronous_commit", "transaction_isolation", "statement_timeout", "lock_timeout")
            ]
    assert shown == ["on", "read committed", "0", "0"]


@pytest.mark.parametrize("setting", ["off", "local", "remote_write"])
async def test_a_store_does_not_open_where_a_crash_could_undo_a_commit(database: Database, setting: str) -> None:
    await execute(database.admin_url, f'ALTER DATABASE "{database.name}" SET synchronous_commit = {setting}')
    with pytest.raises(StoreMisconfigured, match=f"must be 'on' or 'remote_apply', not '{setting}': .* ALTER DATABASE"):
        async with PostgresEventStore.connect(database.url):
            pass
    await execute(database.admin_url, f'ALTER DATABASE "{database.name}" RESET synchronous_commit')
    async with PostgresEventStore.connect(database.url) as store:
        assert (await store.append([counted("a")])).first == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
async def test_a_conflict_is_told_whatever_year_it_is_in_the_databases_time_zone(
    database: Database, zone: str, kind: str
) -> None:
    await execute(database.admin_url, f"ALTER DATABASE \"{database.name}\" SET timezone = '{zone}'")
    moments = [datetime(1, 1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)]
    events = [Event(type="Counted", payload={"Key": "a"}, occurred_at=moment) for moment in moments]
    async with opened(kind, database.url) as store:
        await store.append(events)
        # One batch: a conflict that cannot be told must not fail its neighbours, which are recorded.
        answers = await asyncio.gather(
            store.append([counted("a")], boundary=of("a"), after=START),
            store.append([counted("b")]),
            return_exceptions=True,
        )
        assert isinstance(answers[0], ConcurrencyConflict)
        assert answers[0].unseen is not None
        assert [event.occurred_at for event in answers[0].unseen.events] == moments
        assert isinstance(answers[1], Receipt)
        assert (await store.query(of("b"))).position == answers[1].position


@pytest.mark.parametrize("kind", KINDS)
async def test_a_store_works_where_arrays_have_no_nulls(database: Database, kind: str) -> None:
    await execute(database.admin_url, f'ALTER DATABASE "{database.name}" SET array_nulls = off')
    async with opened(kind, database.url) as store:
        await store.append([counted("a")], boundary=of("a"), after=(await store.query(of("a"))).position)
        assert keys(await store.query(of("a"))) == ["a"]
        assert keys(await store.query(ANY)) == ["a"]
