from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import IO, Protocol

import pytest

from tests.e2e.program import Worker
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.fork_server import Call, started
from worker.amqp.connection import Link
from worker.amqp.declaration import declare
from worker.load import load_worker
from worker.load.fleet import Fleet
from worker.supervision.control_socket import SupervisorChannel
from worker.topology import Topology

# A worker process is started by ``python -m worker`` and its arguments.
_PROGRAM = 3


class Serving(Protocol):
    """Starts workers that serve until the end of the ``async with``."""

    def __call__(self, worker: Worker, count: int = 1) -> AbstractAsyncContextManager[Fleet]: ...


async def _started(
    command: Sequence[str], *, environment: Mapping[str, str], log: IO[bytes]
) -> tuple[Process, SupervisorChannel]:
    """Start a worker process in a copy."""
    channel, theirs = await SupervisorChannel.pair()
    with theirs:
        descriptor = theirs.fileno()
        call = Call(
            arguments=(*command[_PROGRAM:], "--control-socket", str(descriptor)),
            environment=environment,
            descriptors=(descriptor,),
        )
        process = await started(call, stdin=DEVNULL, stdout=log.fileno(), stderr=log.fileno())
    return process, channel


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
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serving:
    """Runs ``worker run`` with the settings of a test. How a load run starts workers is the tests' of those."""
    monkeypatch.setattr(load_worker, "started", _started)

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
