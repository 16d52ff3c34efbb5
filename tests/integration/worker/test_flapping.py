"""A connection to the broker that breaks again and again, while the database does not answer.

The broker counts what each connection takes along. Harmless commands must not be put aside for that, nor taken for the
cause, and what was delivered over a connection that is gone must not be kept.
"""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest

from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.staging import connected, head_locked, waiting
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.serving import QUEUES, received, serving, settled
from tests.support.tcp_proxy import Proxy, proxy
from worker.amqp import interruption
from worker.amqp.delivery import Delivery
from worker.counters import End
from worker.isolation import isolator
from worker.publisher import Publisher
from worker.service import Service

COMMANDS = 64
CUTS = 12
# RabbitMQ 4 puts aside what was delivered so often, where nothing else is said.
LIMIT = 20
SUSPECT = {"worker-suspect": True}


@pytest.fixture
async def way(vhost: str) -> AsyncIterator[Proxy]:
    """The worker's way to the broker."""
    async with proxy(vhost) as way:
        yield way


def served(
    store: PostgresEventStore, database: Database, amqp_url: str, **settings: float
) -> AbstractAsyncContextManager[Service]:
    """A worker in this process that takes all commands at once, with processes of their own for what may be poison."""
    return serving(
        store,
        amqp_url,
        worker_concurrency=COMMANDS // 2,
        database_url=database.url,
        worker_domains="tests.support.domains.tally:domain",
        **settings,
    )


def kept() -> int:
    """How many deliveries are kept in this process, also of connections that are gone."""
    gc.collect()
    return sum(isinstance(each, Delivery) for each in gc.get_objects())


async def paused(service: Service) -> None:
    async def is_so() -> bool:
        return service.is_paused

    await eventually(is_so, what="the worker to pause")


async def flap(service: Service, way: Proxy) -> None:
    """Cut the connection each time that all commands have come in; there is no pause between, but the worker's own."""
    for cut in range(CUTS):
        await received(service, (1 + cut) * COMMANDS)
        way.cut()
    await received(service, (1 + CUTS) * COMMANDS)


async def nothing_is_left(client: AmqpClient) -> None:
    queues = (QUEUES.queue, QUEUES.retry_queue, QUEUES.dead_queue)
    assert [await client.ready(queue) for queue in queues] == [0, 0, 0]


async def test_commands_outlast_a_connection_that_flaps_while_the_database_hangs(
    store: PostgresEventStore, database: Database, way: Proxy, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As hard as may be: it is opened again at once.
    monkeypatch.setattr(interruption, "_FIRST_REST", 0.01)
    monkeypatch.setattr(interruption, "_LONGEST_REST", 0.01)
    others = kept()  # of tests before this one
    async with served(store, database, way.url) as service, asyncio.TaskGroup() as group:
        (served_store,) = service._stores
        (consumer,) = served_store.consumers
        (scheduler,) = served_store.schedulers
        begins = asyncio.Event()
        may_begin = consumer._may_begin

        async def asked() -> object:
            begins.set()
            return await may_begin()

        async with head_locked(database.admin_url), connected(database.admin_url) as admin:
            asking = [
                group.create_task(publisher.request("tally", "Count", {"Key": f"k{n}"}, timeout=110))
                for n in range(COMMANDS)
            ]
            # The first that came is being recorded, which nothing can cut short.
            await waiting(admin, 1)
            await flap(service, way)
            assert service.counters.received < LIMIT * COMMANDS
            # Those that are being recorded and who awaits them, those that came last, and as many of those before; and
            # the one that was read last.
            assert kept() - others <= 4 * COMMANDS + 1
            # The silence has lasted for long enough now.
            monkeypatch.setattr(scheduler._limits, "_seconds", 0.1)
            await paused(service)
            monkeypatch.setattr(consumer, "_may_begin", asked)
            way.cut()
            await begins.wait()
            assert service.counters.received == (1 + CUTS) * COMMANDS
            assert not service.is_consuming
            monkeypatch.undo()
        replies = await asyncio.gather(*asking)
        assert {(reply.outcome, reply.duplicate) for reply in replies} == {("accepted", False)}
        await settled(service, service.counters.received)
        assert set(service.counters.ends) <= {End.ACCEPTED, End.DUPLICATE, End.LOST_CHANNEL}
    async with AmqpClient.open(way.url) as client:
        await nothing_is_left(client)


async def test_what_may_be_poison_does_not_pay_for_a_database_that_hangs(
    store: PostgresEventStore,
    database: Database,
    vhost: str,
    client: AmqpClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolator, "_PROBE_SECONDS", 0.5)
    async with served(store, database, vhost, worker_handler_timeout=8) as service:
        async with head_locked(database.admin_url):
            for n in range(COMMANDS):
                await client.put(b'{"Key": "k%d"}' % n, reply_to=client.replies, headers=SUSPECT)
            # Nothing but the process for poison messages waits for the database.
            await paused(service)
            assert service.counters.ends == {}
        answers = await client.answers(COMMANDS)
        assert {answer["outcome"] for answer in answers.values()} == {"accepted"}
        await settled(service, COMMANDS)
        assert set(service.counters.ends) <= {End.ACCEPTED, End.DUPLICATE}
    await nothing_is_left(client)
