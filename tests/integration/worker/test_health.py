"""Liveness and readiness: of a worker that works, rests on purpose, is cut off, or stops."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

import pytest

from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.staging import connected, head_locked, waiting
from tests.integration.worker.outage import without_connections
from tests.integration.worker.probes import answers
from tests.support.amqp_client import AmqpClient
from tests.support.connections import close_connections
from tests.support.fixtures.databases import Database
from tests.support.fixtures.ports import free_port
from tests.support.fixtures.vhosts import Management
from tests.support.fixtures.waiting import eventually
from tests.support.serving import QUEUES, consumers, serving
from tests.support.tcp_proxy import proxy
from tests.support.worker_process import WorkerProcess
from worker.amqp.consumer import Consumer
from worker.amqp.declaration import declare
from worker.publisher import Publisher
from worker.service import Service
from worker.supervision.health import Health


async def judged(service: Service, *, live: bool, ready: bool) -> Health:
    async def is_so() -> bool:
        found = service.health()
        return (found.live, found.ready) == (live, ready)

    await eventually(is_so, what=f"live={live}, ready={ready}")
    return service.health()


async def test_a_deliberate_pause_is_live_and_not_ready(
    store: PostgresEventStore, database: Database, vhost: str, publisher: Publisher
) -> None:
    async with serving(store, vhost, worker_health_grace=0) as service:
        assert service.health() == Health(live=True, ready=True, reason="consuming")
        async with without_connections(database):
            await publisher.publish("tally", "Count", {"Key": "a"})
            found = await judged(service, live=True, ready=False)
            assert found.reason == "paused until the database answers"
        await judged(service, live=True, ready=True)


@pytest.mark.parametrize("grace", [0.0, 3600.0])
async def test_a_queue_without_its_consumer_is_live_for_the_grace_only(
    store: PostgresEventStore, vhost: str, publisher: Publisher, grace: float
) -> None:
    async with proxy(vhost) as way, serving(store, way.url, worker_health_grace=grace) as service:
        assert (await publisher.request("tally", "Count", {"Key": "a"})).outcome == "accepted"
        way.stop()
        found = await judged(service, live=grace > 0, ready=False)
        assert found.reason.startswith("tally.commands has not been consumed for ")
        await way.start()
        await judged(service, live=True, ready=True)
        assert (await publisher.request("tally", "Count", {"Key": "b"})).outcome == "accepted"


async def test_the_time_without_a_consumer_is_counted_over_attempts_that_fail(
    store: PostgresEventStore, vhost: str, management: Management
) -> None:
    async with serving(store, vhost) as service:
        (consumer,) = consumers(service)
        assert isinstance(consumer, Consumer)
        before = consumer._wire
        # All but consuming is allowed: each attempt gets as far as being refused.
        with permitted(management, vhost, read="commands"):
            await close_connections(management, vhost, "worker tally")
            await judged(service, live=True, ready=False)

            async def is_noted() -> bool:
                return consumer._interrupted_at is not None

            await eventually(is_noted, what="the interruption to be noted")
            begun = consumer._interrupted_at

            async def was_refused() -> bool:
                wire = consumer._wire
                return wire is not None and wire is not before and wire.is_closed

            await eventually(was_refused, what="an attempt to be refused")
            assert consumer._interrupted_at == begun
        await judged(service, live=True, ready=True)
        assert consumer.interrupted_for == 0


@contextmanager
def permitted(management: Management, vhost: str, *, read: str) -> Iterator[None]:
    """Let the user read nothing but what fits a pattern."""
    path = f"/api/permissions/{urlsplit(vhost).path[1:]}/{quote(management.user, safe='')}"
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    management.request("PUT", path, everything | {"read": f"^{read}$"})
    try:
        yield
    finally:
        management.request("PUT", path, everything)


async def test_a_worker_process_answers_until_it_has_drained(
    database: Database, vhost: str, client: AmqpClient
) -> None:
    await declare(client.channel, QUEUES)
    await client.put(b'{"Key": "a"}')
    port = free_port()
    async with (
        connected(database.admin_url) as admin,
        head_locked(database.admin_url),
        WorkerProcess.running(database.url, vhost, WORKER_HEALTH_PORT=str(port)) as worker,
    ):
        await answers(port, live=True, ready=True, reason="consuming")
        await waiting(admin, 1)
        worker.signal()
        await answers(port, live=True, ready=False, reason="draining")
        worker.signal(signal.SIGINT)
        assert await worker.status() == 1
    await answers(port, live=False, ready=False, reason="nobody answers")
