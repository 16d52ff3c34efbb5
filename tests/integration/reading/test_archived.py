"""What follows the log, where events that it has not seen are archived: it rests, loses nothing, and goes on later."""

from pathlib import Path

from eventstore.postgres import PostgresEventStore, archive, restore_archive
from tests.integration.reading.projecting import BALANCES, book, coordinating, reached, rows
from tests.support.archives import fill, owner_of
from tests.support.domains.ledger import balances, ledger
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually


async def test_a_projection_behind_what_is_archived_rests_and_goes_on_when_it_is_back(
    partitioned_database: Database, tmp_path: Path
) -> None:
    url, admin_url, schema = partitioned_database.url, partitioned_database.admin_url, partitioned_database.schema
    domain, of = ledger(balances), f"{schema}_read_ledger.totals"
    async with PostgresEventStore.connect(url, schema=schema) as store, owner_of(partitioned_database) as admin:
        async with coordinating(url, domain, schema=schema):
            await reached(url, await book(store, "a", "b", "c"), schema=schema)
        await book(store, "d")
        await fill(admin)
        await archive(admin_url, schema=schema, before=5, to=tmp_path)
        async with coordinating(url, domain, schema=schema) as coordinator:

            async def rests() -> bool:
                return bool(coordinator.troubles)

            await eventually(rests, what="the projection to rest")
            (told,) = coordinator.troubles
            assert told.startswith("ledger.balances: "), told
            assert "restore-archive" in told, told
            last = await book(store, "a")
            assert len(await rows(url, f"SELECT FROM {of}")) == 3
            await restore_archive(admin_url, tmp_path, schema=schema)
            await reached(url, last, projection=BALANCES, schema=schema)
            assert coordinator.troubles == []
        totals = await rows(url, f"SELECT account, total FROM {of} ORDER BY 1")  # noqa: S608  the same
        assert totals == [("a", 2), ("b", 1), ("c", 1), ("d", 1)]
