"""Skipped events: after the log was rewritten, another event that has the number of one is not left out."""

from functools import partial

from eventstore.postgres import PostgresEventStore, Session
from tests.integration.reading.projecting import book, booked, coordinating, lose, reached, rows
from tests.support.domains.ledger import balances, ledger
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from worker.reading.administration import skip
from worker.reading.builds import Declared
from worker.reading.coordinator import Coordinator

NAME = Declared(domain=ledger(balances), projection=balances).name
_ENTRIES = "SELECT number, account FROM read_ledger.entries ORDER BY 1"
_SKIPPED = "SELECT number, token, reason FROM reading.skipped"
_CURRENT = "SELECT follower_id FROM reading.followers WHERE is_current"


async def _is_stopped(coordinator: Coordinator) -> bool:
    return any(running.failure is not None for running in coordinator.running.values())


async def _skip(url: str, number: int, reason: str) -> None:
    session = Session(url, purpose="test")
    await skip(session, NAME, number, by="ada", reason=reason)
    await session.close()


async def _is_another(admin_url: str, before: list[tuple[object, ...]]) -> bool:
    return await rows(admin_url, _CURRENT) != before


async def test_another_event_with_the_number_of_a_skipped_one_takes_effect(database: Database, other: Database) -> None:
    """Where another database has the tables, it keeps what was skipped when the log loses the event."""
    async with (
        PostgresEventStore.connect(database.url) as store,
        coordinating(database.url, ledger(balances), target=other.url) as coordinator,
    ):
        await reached(other.url, await book(store, "kept"))
        lost = (await store.append([booked("bad", -1)])).position.token
        await eventually(partial(_is_stopped, coordinator), what="the event to stop the projection")
        await _skip(other.url, 2, "first")
        await reached(other.url, await book(store, "a"))
        assert await rows(other.admin_url, _SKIPPED) == [(2, lost, "first")]
        before = await rows(other.admin_url, _CURRENT)
        await lose(database.admin_url, above=1)
        await book(store, "new", "newer", "newest")
        await eventually(partial(_is_another, other.admin_url, before), what="the projection to be built anew")
        await reached(other.url, await book(store, "last"))
        assert await rows(other.url, _ENTRIES) == [
            *((1, "kept"), (2, "new"), (3, "newer"), (4, "newest"), (5, "last")),
        ]


async def test_another_event_with_the_number_of_a_skipped_one_can_be_skipped_too(
    database: Database, other: Database
) -> None:
    async with (
        PostgresEventStore.connect(database.url) as store,
        coordinating(database.url, ledger(balances), target=other.url) as coordinator,
    ):
        await reached(other.url, await book(store, "kept"))
        await store.append([booked("bad", -1)])
        await eventually(partial(_is_stopped, coordinator), what="the event to stop the projection")
        await _skip(other.url, 2, "first")
        await reached(other.url, await book(store, "a"))
        before = await rows(other.admin_url, _CURRENT)
        await lose(database.admin_url, above=1)
        bad = (await store.append([booked("worse", -1)])).position
        await book(store, "new", "newer")

        async def is_stopped_by_it() -> bool:
            query = "SELECT count(*) FROM reading.followers WHERE failed_token = $1"
            return await rows(other.admin_url, query, bad.token) == [(1,)]

        await eventually(is_stopped_by_it, what="the other event to stop the projection")
        await _skip(other.url, 2, "second")
        await eventually(partial(_is_another, other.admin_url, before), what="the projection to be built anew")
        await reached(other.url, await book(store, "last"))
        assert await rows(other.admin_url, _SKIPPED) == [(2, bad.token, "second")]
        assert await rows(other.url, _ENTRIES) == [(1, "kept"), (3, "new"), (4, "newer"), (5, "last")]


async def test_an_event_that_an_older_build_noted_is_skipped_by_its_number(database: Database) -> None:
    async with PostgresEventStore.connect(database.url) as store:
        await store.append([booked("bad", -1)])
        async with coordinating(database.url, ledger(balances)) as coordinator:
            await eventually(partial(_is_stopped, coordinator), what="the event to stop the projection")
            await rows(
                database.admin_url,
                "SELECT reading.fail_v1(f.follower_id, f.fence, 1, 'Booked', 'bad', '') FROM reading.followers f",
            )
            await _skip(database.url, 1, "noted before")
            await reached(database.url, await book(store, "a"))
        assert await rows(database.admin_url, _SKIPPED) == [(1, None, "noted before")]
        assert await rows(database.url, _ENTRIES) == [(2, "a")]
