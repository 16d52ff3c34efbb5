"""SIGTERM at the stages of one command that a lock cannot hold: it reads, it is answered, it is acknowledged."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.staging import Connection, connected, head_locked, waiting
from tests.integration.worker.test_drain import answered, finish
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.serving import QUEUES
from tests.support.tcp_proxy import Proxy, proxy
from tests.support.worker_process import WorkerProcess

BODY = b'{"Key": "a"}'
CONSUMER, SENDER = b"worker tally", b"worker replies"
_READS = """
SELECT EXISTS (
    SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'relation' AND pid <> $1
)
"""


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Connection]:
    async with connected(database.admin_url) as connection:
        yield connection


@pytest.fixture
async def way(vhost: str) -> AsyncIterator[Proxy]:
    """The worker's way to the broker."""
    async with proxy(vhost) as way:
        yield way


@asynccontextmanager
async def unreadable(database: Database) -> AsyncIterator[None]:
    """Keep every reader of events waiting."""
    async with connected(database.admin_url) as connection, connection.transaction():
        await connection.execute("LOCK TABLE eventstore.events IN ACCESS EXCLUSIVE MODE")
        yield


async def recorded(store: PostgresEventStore, command_id: str) -> None:
    """Wait until a command has its receipt."""

    async def is_recorded() -> bool:
        return await store.receipt(UUID(command_id), scope="tally") is not None

    await eventually(is_recorded, what="the receipt")


async def drained(worker: WorkerProcess, client: AmqpClient, **figures: int) -> None:
    """See that the worker drained with these counts, and that nothing came back."""
    assert await worker.status() == 0
    report = worker.report()
    assert {name: report[name] for name in figures} == figures
    assert (report["received"], report["in_flight"]) == (1, 0)
    assert await client.ready(QUEUES.queue) == 0


async def test_a_command_that_reads_is_decided_before_the_worker_ends(
    store: PostgresEventStore, database: Database, admin: Connection, vhost: str, client: AmqpClient
) -> None:
    async def reads() -> bool:
        return bool(await admin.fetchval(_READS, admin.get_server_pid()))

    async with WorkerProcess.running(database.url, vhost) as worker:
        async with unreadable(database):
            command_id = await client.put(BODY, reply_to=client.replies)
            await eventually(reads, what="the command to read its events")
            worker.signal()
            await worker.logged("draining")
        assert (await client.answer())["outcome"] == "accepted"
        await drained(worker, client, accepted=1)
    assert await answered(store) == {command_id}


async def test_an_answer_that_is_on_its_way_arrives_before_the_worker_ends(
    store: PostgresEventStore, database: Database, way: Proxy, client: AmqpClient
) -> None:
    # Longer than a busy machine takes until it may go on.
    async with WorkerProcess.running(database.url, way.url, WORKER_REPLY_TIMEOUT="60") as worker:
        way.hold(SENDER)
        command_id = await client.put(BODY, reply_to=client.replies)
        # Appended, but neither replied to nor acknowledged.
        await recorded(store, command_id)
        worker.signal()
        await worker.logged("draining")
        assert await client.ready(client.replies) == 0
        way.go_on()
        assert (await client.answer())["command_id"] == command_id
        await drained(worker, client, accepted=1, failed_replies=0)


async def test_an_answer_that_cannot_arrive_does_not_keep_the_worker(
    store: PostgresEventStore, database: Database, way: Proxy, client: AmqpClient
) -> None:
    async with WorkerProcess.running(database.url, way.url, WORKER_REPLY_TIMEOUT="0.5") as worker:
        way.hold(SENDER)
        command_id = await client.put(BODY, reply_to=client.replies)
        await recorded(store, command_id)
        worker.signal()
        await worker.logged("drained")
        way.go_on()
        await drained(worker, client, accepted=1, failed_replies=1)


@pytest.mark.parametrize("is_lost", [False, True], ids=["late", "lost"])
async def test_an_acknowledgement_that_is_late_counts_and_one_that_is_lost_changes_nothing(
    store: PostgresEventStore, database: Database, way: Proxy, client: AmqpClient, *, is_lost: bool
) -> None:
    async with connected(database.admin_url) as admin, WorkerProcess.running(database.url, way.url) as worker:
        async with head_locked(database.admin_url):
            command_id = await client.put(BODY, reply_to=client.replies)
            await waiting(admin, 1)
            way.hold(CONSUMER)
        first = await client.answer()
        # Replied to; the acknowledgement does not get through.
        worker.signal()
        await worker.logged("draining")
        if is_lost:
            way.cut()
        way.go_on()
        assert await worker.status() == 0
        assert worker.report()["received"] == 1
    await client.holds(QUEUES.queue, int(is_lost))
    rest = await finish(database, way.url, client)
    assert (rest["received"], rest["duplicate"]) == (int(is_lost), int(is_lost))
    if is_lost:
        # Its sender sent it once: what the broker hands out twice is no duplicate to anybody but us.
        assert await client.answer() == first
    assert await answered(store) == {command_id}
