from collections.abc import AsyncIterator

import pytest

from tests.support.amqp_client import AmqpClient
from worker.publisher import Publisher


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
