"""Leases, where the server's clock says that one holds which nobody keeps."""

import asyncpg

from eventstore.postgres import PostgresEventStore, Session
from tests.integration.reading.projecting import book, check_balances, coordinating, owner_of, reached, rows
from tests.support.domains.ledger import balances, ledger
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.tcp_proxy import proxy
from worker.leased_service import LeasedService
from worker.reading.followers import FollowerName, FollowerRow, Followers
from worker.reading.lease import LEASE_SECONDS, Candidate

NAME = FollowerName(kind="reaction", domain="ledger", name="test")
# As a lease that was taken before the clock was set back by an hour.
OUTLASTS = "UPDATE reading.followers SET owner = 'gone', fence = fence + 1, leased_until = now() + interval '1 hour'"


async def _row(session: Session) -> FollowerRow:
    async with session.transaction() as transaction:
        (row,) = await Followers(transaction).of(NAME)
        return row


async def test_a_lease_that_outlasts_its_process_by_the_servers_clock_is_taken_over(database: Database) -> None:
    domain = ledger(balances)
    async with PostgresEventStore.connect(database.url) as store:
        async with coordinating(database.url, domain):
            await reached(database.url, await book(store, "a"))
        await rows(database.admin_url, OUTLASTS)
        async with coordinating(database.url, domain):
            await reached(database.url, await book(store, "b"))
            assert await owner_of(database.admin_url) != "gone"
            await check_balances(database.url)


async def test_a_lease_is_abandoned_when_nobody_has_kept_it_for_as_long_as_it_holds(database: Database) -> None:
    now = 0.0
    candidate = Candidate("next", clock=lambda: now)
    session, other = (Session(database.url, purpose="test") for _ in range(2))
    async with session.transaction() as transaction:
        await Followers(transaction).add(NAME, version=1, layout=b"", is_current=True)
    await rows(database.admin_url, OUTLASTS)
    assert await candidate.take(session, await _row(session)) is None
    now += LEASE_SECONDS
    row = await _row(session)
    async with other.transaction() as transaction:
        assert await Followers(transaction).renew({row.follower_id: row.fence}, 2 * 3600)
    # It was kept, by this look at the latest.
    now += 1
    assert await candidate.take(session, await _row(session)) is None
    now += LEASE_SECONDS + 1
    # It was kept after this look.
    seen = await _row(session)
    async with other.transaction() as transaction:
        await Followers(transaction).renew({row.follower_id: row.fence}, 3 * 3600)
    assert await candidate.take(session, seen) is None
    assert await candidate.take(session, await _row(session)) is None
    now += LEASE_SECONDS + 1
    # Its owner writes.
    admin = await asyncpg.connect(database.admin_url)
    async with admin.transaction():
        await admin.execute("SELECT FROM reading.followers FOR UPDATE")
        assert await candidate.take(session, await _row(session)) is None
    await admin.close()
    fence = await candidate.take(session, await _row(session))
    assert fence == row.fence + 1
    async with other.transaction() as transaction:
        assert not await Followers(transaction).renew({row.follower_id: row.fence}, 3600)
    for each in (session, other):
        await each.close()


async def test_a_database_that_falls_silent_for_one_process_is_told_and_another_one_goes_on(
    database: Database,
) -> None:
    domain = ledger(balances)
    async with PostgresEventStore.connect(database.url) as store, proxy(database.url) as way:
        async with coordinating(way.url, domain, answer_seconds=0.5) as cut_off:
            await reached(database.url, await book(store, "a"))
            async with coordinating(database.url, domain) as other:
                way.hold()

                async def is_told() -> bool:
                    return cut_off.trouble is not None

                await eventually(is_told, what="the silence to be told")
                assert not LeasedService([cut_off], doing="projecting").health().ready
                await reached(database.url, await book(store, "b"))
                assert other.active == 1
                way.go_on()

                async def goes_on() -> bool:
                    return cut_off.trouble is None and not cut_off.running

                await eventually(goes_on, what="the one that was cut off to know that another one projects")
            await reached(database.url, await book(store, "c"))
            assert cut_off.active == 1
        await check_balances(database.url)
