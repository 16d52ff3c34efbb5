import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import pytest

from tests.e2e.nursery import Nursery
from tests.e2e.program import Worker, kept
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from worker.amqp.connection import Link
from worker.amqp.declaration import declare
from worker.load.fleet import Fleet
from worker.topology import Topology


class Serving(Protocol):
    """Starts workers that serve until the end of the ``async with``."""

    def __call__(self, worker: Worker, count: int = 1) -> AbstractAsyncContextManager[Fleet]: ...


@pytest.fixture(scope="session", autouse=True)
def nursery() -> Iterator[None]:
    """Has calls of ``worker`` that are run to their end made in copies of one process, for all tests of this one."""
    if os.environ.get("E2E_FRESH"):
        yield
        return
    with Nursery.opened(kept()) as nursery:
        Worker.nursery = nursery
        yield
        Worker.nursery = None


@pytest.fixture
def worker(database: Database, vhost: str) -> Worker:
    """The command ``worker``, with a database and a virtual host of the test's own, both empty."""
    return Worker(
        {
            "DATABASE_URL": database.url,
            "DATABASE_REPLICA_URLS": ",".join(database.replica_urls),
            "DATABASE_ADMIN_URL": database.admin_url,
            "AMQP_URL": vhost,
            "WORKER_DOMAINS": "handlers.library:domain",
        }
    )


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    """Runs ``worker run`` with the settings of a test."""

    def serve(worker: Worker, count: int = 1) -> AbstractAsyncContextManager[Fleet]:
        return Fleet.running(count, worker.environment, tmp_path)

    return serve


@pytest.fixture
async def served(worker: Worker, serving: Serving) -> AsyncIterator[Worker]:
    """The same, while one worker process serves the library."""
    async with serving(worker):
        yield worker


@pytest.fixture
async def queues(vhost: str) -> None:
    """The library's queues, as a worker leaves them behind; nobody serves them."""
    link = Link(vhost, name="queues of a test", prepare=lambda channel: declare(channel, Topology("library")))
    await link.wire()
    await link.close()


@pytest.fixture
async def client(vhost: str) -> AsyncIterator[AmqpClient]:
    """A channel in the test's own hands."""
    async with AmqpClient.open(vhost) as client:
        yield client
