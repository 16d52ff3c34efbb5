"""A database's clock that is set by an hour while projections run: each event takes effect once."""

from datetime import timedelta

from eventstore.postgres import PostgresEventStore
from tests.integration.reading.projecting import book, check_balances, coordinating, reached, rows
from tests.support.domains.ledger import balances, ledger
from tests.support.fixtures.clocks import set_database_clock, settable_database_clock
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
# As the true clock has it.
_LEASE = "SELECT leased_until - pg_catalog.clock_timestamp() FROM reading.followers"


async def test_projections_go_on_in_one_process_whichever_way_the_clock_is_set(database: Database) -> None:
    domain = ledger(balances)
    await settable_database_clock(database.admin_url)
    async with (
        PostgresEventStore.connect(database.url) as store,
        coordinating(database.url, domain) as one,
        coordinating(database.url, domain) as other,
    ):

        async def one_works() -> bool:
            return one.active + other.active == 1

        for ahead in (timedelta(), HOUR, timedelta(), -HOUR, timedelta()):
            await set_database_clock(database.admin_url, ahead)
            for name in "abc":
                await reached(database.url, await book(store, name))
            await eventually(one_works, what="one process to project")
            ((lease,),) = await rows(database.admin_url, _LEASE)
            assert ahead - MINUTE < lease < ahead + MINUTE
        await check_balances(database.url)
