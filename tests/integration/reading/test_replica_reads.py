"""Where projections read the log: on a replica, as the process is opened from its settings."""

import asyncio

from eventstore.postgres import PostgresEventStore
from tests.integration.reading.projecting import BALANCES, book, check_balances, reached
from tests.support.fixtures.databases import Database
from worker.reading.coordinator import Coordinator
from worker.reading.service import RunRequest, opened
from worker.settings import Settings


async def test_a_projection_reads_the_log_on_a_replica(database: Database) -> None:
    settings = Settings(
        database_url=database.url,
        database_replica_urls=database.replica_urls,
        worker_domains="tests.support.domains.ledger:domain",
    )
    stop = asyncio.Event()
    async with (
        PostgresEventStore.connect(database.url) as store,
        opened(settings, RunRequest(names=(BALANCES,))) as service,
    ):
        serving = asyncio.create_task(service.serve(stop))
        for _ in range(5):
            await reached(database.url, await book(store, "a", "b"))
        await check_balances(database.url)
        (coordinator,) = service.parts
        assert isinstance(coordinator, Coordinator)
        assert isinstance(coordinator._store, PostgresEventStore)
        counts = coordinator._store.read_counts
        assert (counts.replicas.total() > 0, counts.primary) == (True, 0)
        stop.set()
        await serving
