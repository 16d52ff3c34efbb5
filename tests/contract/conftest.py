"""The stores under contract: what one promises, every one keeps."""

from collections.abc import AsyncIterator

import pytest

from eventstore import EventStore, MemoryEventStore
from eventstore.postgres import PostgresEventStore
from tests.support.fixtures.databases import Database

# Long enough for a query's answer, short enough to wait for in vain.
REACH_SECONDS = 0.05
FOLLOW_SECONDS = 0.01


@pytest.fixture(params=["memory", "postgres", "partitioned"])
def own_database(request: pytest.FixtureRequest) -> Database | None:
    """The database of the store under test, None for the one without."""
    if request.param == "memory":
        return None
    database = request.getfixturevalue("database" if request.param == "postgres" else "partitioned_database")
    assert isinstance(database, Database)
    return database


@pytest.fixture
async def store(own_database: Database | None) -> AsyncIterator[EventStore]:
    """An empty store, of each kind in turn."""
    if own_database is None:
        yield MemoryEventStore()
        return
    async with PostgresEventStore.connect(
        own_database.url, reach_seconds=REACH_SECONDS, follow_seconds=FOLLOW_SECONDS
    ) as opened:
        yield opened
