"""A worker that is told to stop while nothing answers: all parts of its stop share one time, and it ends in that.

What hangs is staged by a network that passes nothing on: neither side learns of it.
"""

import time
from collections.abc import AsyncIterator

import pytest

from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.staging import connected, head_locked, waiting
from tests.integration.worker.test_drain import answered, finish
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.serving import QUEUES
from tests.support.tcp_proxy import Proxy, proxy
from tests.support.worker_process import WorkerProcess
from worker.supervision.stop_times import END_SECONDS

DRAIN_SECONDS = 2.0
COMMANDS = 6
# More than the kernel takes up on the way.
LETTERS = 20
RETRIES = b"worker retries, dead letters"


@pytest.fixture
async def broker(vhost: str) -> AsyncIterator[Proxy]:
    """The worker's way to the broker."""
    async with proxy(vhost) as way:
        yield way


@pytest.fixture
async def primary(database: Database) -> AsyncIterator[Proxy]:
    """Its way to the database."""
    async with proxy(database.url) as way:
        yield way


async def stopped(worker: WorkerProcess, *, drain: float) -> int:
    """Wait for the end of a worker that has just been told to stop, which must come in time; return its exit status."""
    told = time.monotonic()
    status = await worker.status()
    assert time.monotonic() - told < drain + END_SECONDS
    return status


@pytest.mark.parametrize("hurry", [False, True], ids=["told-once", "told-twice"])
async def test_a_worker_whose_servers_hang_ends_in_time_and_loses_nothing(
    store: PostgresEventStore,
    database: Database,
    broker: Proxy,
    primary: Proxy,
    client: AmqpClient,
    *,
    hurry: bool,
) -> None:
    # Told twice, it does not wait for its drain.
    drain = 600.0 if hurry else DRAIN_SECONDS
    async with (
        connected(database.admin_url) as admin,
        WorkerProcess.running(primary.url, broker.url, WORKER_DRAIN_DEADLINE=f"{drain}") as worker,
    ):
        async with head_locked(database.admin_url):
            ids = {await client.put(b'{"Key": "k%d"}' % n, reply_to=client.replies) for n in range(COMMANDS)}
            await waiting(admin, 1)
            broker.hold()
            primary.hold()
            worker.signal()
            if hurry:
                await worker.logged("draining")
                worker.signal()
            assert await stopped(worker, drain=0.0 if hurry else drain) == 1
        # Each is accounted for; that asserts it.
        assert worker.report()["in_flight"] == 0
        for way in (broker, primary):
            way.cut()
            way.go_on()
        await client.holds(QUEUES.queue, COMMANDS)
    await finish(database, broker.url, client)
    assert await answered(store) == ids


async def test_a_broker_that_reads_nothing_does_not_keep_a_worker_that_has_much_to_write(
    database: Database, broker: Proxy, client: AmqpClient
) -> None:
    async with WorkerProcess.running(database.url, broker.url, WORKER_DRAIN_DEADLINE=f"{DRAIN_SECONDS}") as worker:
        broker.hold(RETRIES)
        for _ in range(LETTERS):
            await client.put(b'{"Key": 3, "padding": "%b"}' % (b"x" * 900_000))
        await worker.logged("not stored in tally.commands.dead yet", times=LETTERS)
        broker.hold()
        worker.signal()
        assert await stopped(worker, drain=DRAIN_SECONDS) == 1
        assert worker.report()["in_flight"] == 0
        broker.cut()
        await client.holds(QUEUES.queue, LETTERS)
