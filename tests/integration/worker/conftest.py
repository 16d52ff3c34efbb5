from collections.abc import AsyncIterator

import pytest

from eventstore.postgres import PostgresEventStore
from tests.support.fixtures.databases import Database


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresEventStore]:
    """A store on the test's database, with its replicas."""
    async with PostgresEventStore.connect(database.url, replica_urls=database.replica_urls) as store:
        yield store
