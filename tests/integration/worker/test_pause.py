"""While the database does not serve, commands are held; nobody pays for it, and all are answered afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from deploy.local.postgres import DATABASE
from deploy.local.stack import LocalStack
from eventstore.backoff import Backoff
from eventstore.postgres import PostgresEventStore, migrate
from tests.integration.worker.outage import Outage, full, read_only, without_connections
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.serving import QUEUES, serving, settled, settlers
from worker.counters import End
from worker.publisher import Publisher
from worker.service import Service
from worker.supervision.stop_times import StopTimes

COMMANDS = 20


@pytest.fixture
async def service(store: PostgresEventStore, vhost: str) -> AsyncIterator[Service]:
    async with serving(store, vhost, worker_retry_delay=60) as service:
        service._stores[0].breaker._backoff = Backoff(first=0.1, longest=0.2)
        yield service


async def paused(service: Service, *, is_paused: bool = True) -> None:
    async def is_so() -> bool:
        return service.is_paused is is_paused

    await eventually(is_so, what="the worker to pause" if is_paused else "the worker to go on")


@asynccontextmanager
async def held(service: Service, publisher: Publisher, client: AmqpClient) -> AsyncIterator[None]:
    """Publish commands into an outage; after it, see that each is answered and that none was touched before."""
    # The answer to the one before goes out a moment before its delivery ends.
    await settled(service, 1)
    asking = [
        asyncio.create_task(publisher.request("tally", "Count", {"Key": f"k{n}"}, timeout=240)) for n in range(COMMANDS)
    ]
    await paused(service)
    # As many as may be unsettled have come in; the others wait in the queue.
    await client.holds(QUEUES.queue, COMMANDS - 8)
    assert service.is_consuming
    assert service.counters.ends == {End.ACCEPTED: 1}
    yield
    replies = await asyncio.gather(*asking)
    assert {(reply.outcome, reply.duplicate) for reply in replies} == {("accepted", False)}
    await settled(service, 1 + COMMANDS)
    assert service.counters.ends == {End.ACCEPTED: 1 + COMMANDS}
    assert not service.is_paused
    assert [await client.ready(queue) for queue in (QUEUES.queue, QUEUES.retry_queue, QUEUES.dead_queue)] == [0, 0, 0]


@pytest.mark.parametrize("outage", [without_connections, full, read_only])
async def test_commands_are_held_until_the_database_serves_again(
    outage: Outage, database: Database, service: Service, publisher: Publisher, client: AmqpClient
) -> None:
    assert (await publisher.request("tally", "Count", {"Key": "before"})).outcome == "accepted"
    async with AsyncExitStack() as out:
        await out.enter_async_context(outage(database))
        async with held(service, publisher, client):
            await out.aclose()


async def test_commands_are_held_while_the_server_is_down(vhost: str, publisher: Publisher, client: AmqpClient) -> None:
    with LocalStack(replicas=0, broker=False) as stack:
        primary = stack.primary
        await migrate(primary.url(primary.admin))
        async with (
            PostgresEventStore.connect(primary.url(primary.worker, DATABASE)) as store,
            serving(store, vhost) as service,
        ):
            service._stores[0].breaker._backoff = Backoff(first=0.1, longest=0.2)
            assert (await publisher.request("tally", "Count", {"Key": "before"})).outcome == "accepted"
            await asyncio.to_thread(primary.stop)
            async with held(service, publisher, client):
                await asyncio.to_thread(primary.start)


async def test_what_is_held_for_too_long_is_sent_on_and_pays_nothing(
    database: Database, service: Service, publisher: Publisher, client: AmqpClient
) -> None:
    (settler,) = settlers(service)
    settler._hold = 0.3
    async with read_only(database):
        sent = await client.put(b'{"Key": "a"}', headers={"worker-attempts": 2, "worker-first-failure": "2026-01-02"})
        # The breaker stays open: nothing but the time that it was held sends it on.
        resting = await client.take(QUEUES.retry_queue)
        assert service.is_paused
    assert resting.message_id == sent
    assert (resting.headers["worker-attempts"], resting.headers["worker-reason"]) == (2, "store_unavailable")
    await settled(service, 1)
    await paused(service, is_paused=False)
    assert (await publisher.request("tally", "Count", {"Key": "b"})).outcome == "accepted"
    await settled(service, 2)
    assert service.counters.ends == {End.RETRIED: 1, End.ACCEPTED: 1}


async def test_a_drain_gives_back_what_is_held(
    database: Database, service: Service, publisher: Publisher, client: AmqpClient
) -> None:
    async with without_connections(database):
        await asyncio.gather(*(publisher.publish("tally", "Count", {"Key": f"k{n}"}) for n in range(COMMANDS)))
        await paused(service)
        await client.holds(QUEUES.queue, COMMANDS - 8)
        # Long before the deadline, which waiting for the database would use up.
        service.stop_times = StopTimes(drain=600.0)
        async with asyncio.timeout(60):
            assert await service.drain() == 0
    assert service.counters.ends == {End.RETURNED: service.counters.received}
    await client.holds(QUEUES.queue, COMMANDS)
    assert [await client.ready(queue) for queue in (QUEUES.retry_queue, QUEUES.dead_queue)] == [0, 0]
