"""The servers' connections, compared at the start with what workers may open."""

import logging
from collections.abc import Sequence

import pytest

from eventstore import StoreMisconfigured, StoreUnavailable
from tests.support.fixtures.databases import Database
from worker.capacity import check_capacity
from worker.stores import StoreSettings

NOWHERE = "postgresql://worker@127.0.0.1:9/events"


def told(caplog: pytest.LogCaptureFixture) -> Sequence[str]:
    return [message.partition(" has ")[0] for message in caplog.messages]


async def test_too_few_connections_for_all_are_told_of_each_server(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    store = StoreSettings(database_url=database.url, database_replica_urls=(*database.replica_urls, NOWHERE))
    await check_capacity([store], 10, 1)
    assert caplog.messages == []
    await check_capacity([store], 10, 1000)
    replicas = [f"replica {number}" for number in range(1, len(database.replica_urls) + 1)]
    assert told(caplog) == ["the primary", *replicas]
    assert "1000 processes open up to 11000: raise max_connections" in caplog.messages[0]


async def test_a_primary_without_room_for_one_is_refused(database: Database) -> None:
    with pytest.raises(StoreMisconfigured, match="one process opens up to 100000: raise max_connections"):
        await check_capacity([StoreSettings(database_url=database.url)], 100_000, 1)


async def test_what_stores_open_on_one_server_is_added_up(
    database: Database, other: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The limit is the server's, whichever of its databases a connection is to."""
    stores = [
        StoreSettings(domains=("orders",), database_url=database.url),
        StoreSettings(domains=("library",), database_url=other.url, database_replica_urls=other.replica_urls),
    ]
    await check_capacity(stores, 10, 1000)
    assert "replica 1 of library" in told(caplog)
    (both,) = [message for message in caplog.messages if message.startswith("the primary of")]
    assert both.startswith("the primary of orders and the primary of library has ")
    assert "1000 processes open up to 22000: raise max_connections" in both
    with pytest.raises(StoreMisconfigured, match=r"^the primary of orders and the primary of library has .* 100000:"):
        await check_capacity(stores, 50_000, 1)


async def test_a_store_that_is_down_keeps_no_other_from_its_start(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    down = StoreSettings(domains=("orders",), database_url=NOWHERE)
    with caplog.at_level(logging.WARNING):
        await check_capacity([down, StoreSettings(domains=("library",), database_url=database.url)], 10, 1)
    assert caplog.messages == []
    with pytest.raises(StoreUnavailable):
        await check_capacity([down], 10, 1)
