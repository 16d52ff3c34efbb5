import asyncio
import os
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeAlias

import pytest

from eventstore.postgres import PostgresEventStore
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.nursery import Call, Nursery
from worker.isolation import poison_process
from worker.publisher import Publisher

Launched: TypeAlias = tuple[Process, asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def poison_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the processes for poison messages of workers in the test's process copied, but for tests of their start."""
    if "refused" not in request.fixturenames:
        monkeypatch.setattr(poison_process, "_launched", partial(_copied, poison_process._launched))


async def _copied(anew: Callable[[], Awaitable[Launched]]) -> Launched:
    ours, theirs = socket.socketpair()
    with theirs:
        call = Call(
            entry="worker.isolation.child:main",
            environment={**os.environ, "OTEL_METRICS_EXPORTER": "none"},
            descriptors=(theirs.fileno(),),
        )
        nursery = Nursery.shared() if call.is_for_a_copy() else None
        if nursery is None:
            ours.close()
            return await anew()
        process = await nursery.start(call, stdin=DEVNULL)
    return process, *await asyncio.open_unix_connection(sock=ours)


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresEventStore]:
    """A store on the test's database, with its replicas."""
    async with PostgresEventStore.connect(database.url, replica_urls=database.replica_urls) as store:
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
