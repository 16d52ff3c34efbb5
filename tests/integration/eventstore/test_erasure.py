"""Forgetting in the database: against appends, keys and states that are under way at that moment, and by whom."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from eventstore import (
    START,
    SUBJECT_FORGOTTEN,
    Append,
    BoundaryPart,
    ConcurrencyConflict,
    Filter,
    StateKey,
    StoredState,
    StoreMisconfigured,
    Subject,
    SubjectKey,
    forgetting_of,
)
from eventstore.postgres import PostgresEventStore, find_subject, forget
from eventstore.postgres.statements import statement
from tests.integration.eventstore.library import Libraries
from tests.integration.eventstore.plans import plans
from tests.integration.eventstore.questions import ANY, counted
from tests.integration.eventstore.staging import Connection, connected, waiting
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually

ADA = Subject("ReaderID", "ada")
BOUNDARY = [BoundaryPart(filter=Filter((forgetting_of(ADA),)))]
STATE = StoredState(
    key=StateKey(domain="d", view="v", version=1, key="[]", filter_digest=b""),
    position=START,
    state=b"{}",
    events=0,
    sensitive=True,
)


def key() -> SubjectKey:
    return SubjectKey(id=uuid4(), subject=ADA, wrapped=b"wrapped")


async def wait_for_lock(looker: Connection, what: str) -> None:
    async def waits() -> bool:
        asked = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
            "AND query LIKE $1"
        )
        return bool(await looker.fetchval(asked, f"%{what}%"))

    await eventually(waits, what=f"{what} to wait")


async def test_an_append_that_waits_for_the_forgetting_is_refused(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    await store.make_subject_keys([key()])
    async with connected(database.admin_url) as other, other.transaction():
        await other.fetchrow(statement("forget"), *ADA)
        sealing = asyncio.create_task(store.append([counted("a")], boundary=BOUNDARY))
        await waiting(admin, 1)
    with pytest.raises(ConcurrencyConflict) as refused:
        await sealing
    assert refused.value.event_type == SUBJECT_FORGOTTEN
    assert [event.type for event in (await store.query(ANY)).events] == [SUBJECT_FORGOTTEN]


async def test_a_forgetting_that_waits_for_an_append_deletes_its_key(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    (made,) = await store.make_subject_keys([key()])
    async with store.exclusive(limit=10) as held:
        forgetting = asyncio.create_task(forget(database.admin_url, ADA))
        await wait_for_lock(admin, "forget_v1")
        (receipt,) = await held.append_chain([Append(events=[counted("a")], boundary=BOUNDARY, key=uuid4())])
    assert getattr(receipt, "first", None) == 1
    assert (await forgetting).number == 2
    assert await store.subject_keys([made.id]) == {}


async def test_a_key_that_is_handed_out_while_it_is_deleted_seals_nothing(
    store: PostgresEventStore, database: Database
) -> None:
    (made,) = await store.make_subject_keys([key()])
    async with connected(database.admin_url) as other, other.transaction():
        await other.fetchrow(statement("forget"), *ADA)
        # Nobody can see yet that it is deleted.
        assert await store.make_subject_keys([key()]) == [made]
    with pytest.raises(ConcurrencyConflict):
        await store.append([counted("a")], boundary=BOUNDARY)
    (anew,) = await store.make_subject_keys([key()])
    assert anew.id != made.id


async def test_a_state_that_is_being_stored_when_its_subject_is_forgotten_is_deleted(
    store: PostgresEventStore, database: Database, admin: Connection, runtime: Connection
) -> None:
    await store.make_subject_keys([key()])
    async with runtime.transaction():
        await runtime.execute("SELECT eventstore.put_state_v2('d', 'd', 'v', 1, '[]', '', 0, 0, '', 0, true)")
        forgetting = asyncio.create_task(forget(database.admin_url, ADA))
        await wait_for_lock(admin, "forget_v1")
    assert (await forgetting).states == 1
    assert await admin.fetchval("SELECT count(*) FROM eventstore.states") == 0


async def test_a_state_that_waits_for_the_forgetting_is_not_stored(
    store: PostgresEventStore, database: Database, admin: Connection
) -> None:
    await store.make_subject_keys([key()])
    async with connected(database.admin_url) as other, other.transaction():
        await other.fetchrow(statement("forget"), *ADA)
        storing = asyncio.create_task(store.store_state(STATE))
        await wait_for_lock(admin, "put_state_v2")
    await storing
    assert await admin.fetchval("SELECT count(*) FROM eventstore.states") == 0


async def test_what_was_stored_before_there_were_marks_may_show_anything(
    store: PostgresEventStore, database: Database, runtime: Connection
) -> None:
    await runtime.execute("SELECT eventstore.put_state_v1('d', 'd', 'v', 1, '[]', '', 0, 0, '', 0)")
    await store.make_subject_keys([key()])
    assert (await find_subject(database.admin_url, ADA)).states == 1
    assert (await forget(database.admin_url, ADA)).states == 1


async def test_workers_may_make_and_look_up_keys_and_do_nothing_else_with_them(
    store: PostgresEventStore, database: Database, runtime: Connection
) -> None:
    await store.make_subject_keys([key()])
    for attempt in (
        "TABLE eventstore.subject_keys",
        "DELETE FROM eventstore.subject_keys",
        "UPDATE eventstore.subject_keys SET wrapped = ''",
        "INSERT INTO eventstore.subject_keys VALUES (gen_random_uuid(), 'a', 'b', '', now())",
        "SELECT eventstore.forget_v1('ReaderID', 'ada')",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await runtime.execute(attempt)
    with pytest.raises(StoreMisconfigured):
        await forget(database.url, ADA)
    assert (await find_subject(database.admin_url, ADA)).made_at is not None


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan", "auto"])
@pytest.mark.parametrize("statistics", ["stale", "fresh"])
async def test_neither_forgetting_nor_storing_a_state_reads_the_log(
    libraries: Libraries, mode: str, statistics: str
) -> None:
    url = libraries.stale if statistics == "stale" else libraries.fresh
    async with connected(url) as session:
        await session.execute(f"SET plan_cache_mode = {mode}; SET enable_seqscan = off; SET jit = off")
        asked = (
            "SELECT EXISTS (SELECT FROM eventstore.events e "
            "WHERE e.event_type = 'SubjectForgotten' AND e.sequence_number > $1::bigint)"
        )
        for found in await plans(session, asked, [3]):
            assert found.touched("events") == 0
            assert not found.is_sequential
        fact = '{"SubjectField": "ReaderID", "Subject": "ada"}'
        asked = (
            "WITH found AS MATERIALIZED (SELECT FROM eventstore.events e "
            "WHERE e.event_type = 'SubjectForgotten' AND e.payload @> $1::jsonb) SELECT count(*) FROM found"
        )
        for found in await plans(session, asked, [fact]):
            assert found.touched("events") == 0
            assert not found.is_sequential
