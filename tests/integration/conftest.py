from collections.abc import AsyncIterator

import pytest

from eventstore.postgres import PostgresEventStore
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from worker.publisher import Publisher


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresEventStore]:
    """A store on the test's database."""
    async with PostgresEventStore.connect(database.url) as store:
        yield store


@pytest.fixture
async def client(vhost: str) -> AsyncIterator[AmqpClient]:
    """A channel in the test's own hands."""
    async with AmqpClient.open(vhost) as client:
        yield client


@pytest.fixture
async def publisher(vhost: str) -> AsyncIterator[Publisher]:
    """A publisher as programs use it."""
    async with Publisher.connect(vhost) as publisher:
        yield publisher
