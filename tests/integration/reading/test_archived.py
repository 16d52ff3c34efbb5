"""What follows the log, where events that it has not seen are archived: it rests, loses nothing, and goes on later."""

from pathlib import Path

import pytest

from eventstore import Filter
from eventstore.postgres import PostgresEventStore, archive, restore_archive
from tests.integration.reading.projecting import BALANCES, book, coordinating, reached, rows
from tests.support.archives import drop_oldest, fill, owner_of
from tests.support.domains.ledger import balances, ledger
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from worker.errors import FollowerError
from worker.reading.outputs import position_before


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


async def test_a_reaction_can_be_told_to_go_on_behind_what_is_archived(partitioned_database: Database) -> None:
    url, schema = partitioned_database.url, partitioned_database.schema
    async with PostgresEventStore.connect(url, schema=schema) as store, owner_of(partitioned_database) as admin:
        fifth = (await book(store, "a", "b", "c", "d"), await book(store, "e"))[1]
        fourth = (await store.query(Filter.matching_any_event().sequence_number_higher_than(3))).events[0].position
        await fill(admin)
        await drop_oldest(admin)
        await drop_oldest(admin)
        assert [(await position_before(store, number))[0] for number in (5, 6)] == [fourth, fifth]
        for number, told in (
            (4, "events 3 to 4 are archived: continue from 5, or "),
            (2, "events 1 to 2 are archived"),
        ):
            with pytest.raises(FollowerError, match=told):
                await position_before(store, number)
