"""The servers' connections, compared at the start with what workers may open."""

import pytest

from eventstore import StoreMisconfigured
from tests.support.fixtures.databases import Database
from worker import capacity
from worker.capacity import check_capacity
from worker.settings import Settings


async def test_too_few_connections_for_all_are_told_of_each_server(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = "postgresql://worker@127.0.0.1:9/events"
    settings = Settings(database_url=database.url, database_replica_urls=(*database.replica_urls, nowhere))
    await check_capacity(settings, 1)
    assert caplog.messages == []
    await check_capacity(settings, 1000)
    told = [message.partition(" has ")[0] for message in caplog.messages]
    assert told == ["the primary", *(f"replica {number}" for number in range(1, len(database.replica_urls) + 1))]
    assert "1000 processes open up to 11000: raise max_connections" in caplog.messages[0]


async def test_a_primary_without_room_for_one_is_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(database_url=database.url)
    monkeypatch.setattr(Settings, "pool_size", property(lambda _: 100_000))
    with pytest.raises(StoreMisconfigured, match="one process opens up to 100000: raise max_connections"):
        await capacity.check_capacity(settings, 1)
