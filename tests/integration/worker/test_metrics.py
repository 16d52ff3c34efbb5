"""The metrics of a worker process, as a collector receives them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from urllib.parse import urlsplit

import pytest

from eventstore import START, Event, Filter, P
from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.staging import connected, head_locked, waiting
from tests.integration.worker.outage import without_connections
from tests.integration.worker.receiver import Measured, Receiver, receiving
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.tcp_proxy import proxy
from tests.support.worker_process import WorkerProcess
from worker.publisher import Publisher


@pytest.fixture(params=["grpc", "http/protobuf"])
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    with receiving(request.param) as receiver:
        yield receiver


@pytest.fixture
async def worker(receiver: Receiver, database: Database, vhost: str) -> AsyncIterator[WorkerProcess]:
    async with WorkerProcess.running(database.url, vhost, **receiver.variables) as worker:
        yield worker


async def measured(receiver: Receiver, name: str, holds: Callable[[Measured], bool]) -> Measured:
    """Wait until a metric arrives with the value it should have."""

    async def has_arrived() -> bool:
        return name in receiver.metrics and holds(receiver.metrics[name])

    await eventually(has_arrived, what=f"{name} to be as it should")
    return receiver.metrics[name]


async def test_every_delivery_is_accounted_for(receiver: Receiver, worker: WorkerProcess, publisher: Publisher) -> None:
    for _ in range(3):
        await publisher.request("tally", "Count", {"Key": "a"})
    await publisher.request("tally", "Count", {"Key": "a", "Limit": 1})
    await publisher.request("tally", "CountOnce", {"Key": "a"})
    await publisher.request("tally", "Count", {})
    await publisher.request("tally", "NobodyKnowsThis", {})
    worker.signal()
    assert await worker.status() == 0
    settled = receiver.metrics["worker.deliveries.settled"]
    assert settled.unit == "{delivery}"
    assert settled.values == {
        frozenset({("end", "accepted"), ("command", "Count")}): 3,
        frozenset({("end", "rejected"), ("command", "Count")}): 1,
        frozenset({("end", "unchanged"), ("command", "CountOnce")}): 1,
        frozenset({("end", "dead_lettered"), ("command", "Count")}): 1,
        # What anybody can make up is no value of an attribute.
        frozenset({("end", "dead_lettered"), ("command", "unknown")}): 1,
    }
    received = receiver.metrics["worker.deliveries.received"].total
    assert received == settled.total + receiver.metrics["worker.deliveries.in_flight"].total == 7
    letters = receiver.metrics["worker.dead_letters"]
    assert (letters.of(reason="invalid_command"), letters.of(reason="unknown_command")) == (1, 1)
    durations = receiver.metrics["messaging.process.duration"]
    assert (durations.unit, durations.bounds[0], durations.bounds[-1]) == ("s", 0.005, 10)
    assert durations.of(messaging__destination__name="commands:tally:tally.commands") == 7
    assert durations.of(error__type="invalid_command") == 1
    attempts = receiver.metrics["worker.command.attempts"]
    assert (attempts.of(command="Count"), attempts.of(command="CountOnce")) == (4, 1)
    # Both kinds of command read one part.
    assert receiver.metrics["worker.states.kept"].total == 1


async def test_the_stores_operations_are_measured(
    receiver: Receiver, worker: WorkerProcess, publisher: Publisher, database: Database
) -> None:
    async with (
        connected(database.admin_url) as admin,
        asyncio.TaskGroup() as asking,
        head_locked(database.admin_url),
    ):
        asking.create_task(publisher.request("tally", "Count", {"Key": "first"}))
        await waiting(admin, 1)
        # One after another, since those that come together share a query.
        for count, key in enumerate("abc", start=2):
            asking.create_task(publisher.request("tally", "Count", {"Key": key}))
            await measured(receiver, "eventstore.query.duration", partial(has_counted, count))
    # The first append has the store ask for partitions, which may still go on.
    connections = await measured(receiver, "eventstore.db.connections", lambda found: found.of(status="used") == 0)
    assert connections.of(status="idle") >= 1
    worker.signal()
    assert await worker.status() == 0
    queries, appends = (receiver.metrics[f"eventstore.{name}.duration"] for name in ("query", "append"))
    assert queries.values == {frozenset({("filter_type", "types_and_predicates")}): 4}
    assert appends.values == {frozenset({("event_count", "1")}): 4}
    assert queries.bounds == appends.bounds == (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
    assert receiver.metrics["eventstore.batch.size"].of(operation="append") == 2
    assert receiver.metrics["eventstore.queue.wait"].of(operation="append") == 2


def has_counted(count: int, found: Measured) -> bool:
    return found.total == count


@pytest.mark.usefixtures("worker")
async def test_a_conflict_is_counted_by_the_shape_of_its_boundary(
    receiver: Receiver, store: PostgresEventStore, publisher: Publisher, database: Database
) -> None:
    boundary = Filter.matching().any_event_type_of("Counted").and_any_predicate_of(P("Key", "a"))
    async with connected(database.admin_url) as admin:
        async with head_locked(database.admin_url):
            rival = asyncio.create_task(
                store.append([Event(type="Counted", payload={"Key": "a"})], boundary=boundary, after=START)
            )
            await waiting(admin, 1)
            asking = asyncio.create_task(publisher.request("tally", "Count", {"Key": "a"}))
            await waiting(admin, 2)
        assert ((await rival).first, (await asking).first) == (1, 2)
    conflicts = await measured(receiver, "eventstore.concurrency_conflicts", lambda found: found.total == 1)
    assert conflicts.of(filter_type="types_and_predicates") == 1
    wasted = await measured(receiver, "worker.wasted_decisions", lambda found: found.total == 1)
    assert wasted.of(read_from="primary") == 1


async def test_reads_are_told_by_server_and_reason(
    receiver: Receiver, database: Database, vhost: str, publisher: Publisher
) -> None:
    async with proxy(database.replica_urls[0]) as way:
        replica = urlsplit(way.url).netloc.rpartition("@")[2]
        variables = {**receiver.variables, "DATABASE_REPLICA_URLS": way.url}
        async with WorkerProcess.running(database.url, vhost, **variables):
            # On a busy machine, its first answer may come late.
            await measured(receiver, "eventstore.replica.up", lambda found: found.of(server=replica) == 1)
            await publisher.request("tally", "Count", {"Key": "a"})
            await measured(receiver, "eventstore.reads", lambda found: found.of(server=replica, reason="replica") == 1)
            way.hold()
            await measured(receiver, "eventstore.replica.up", lambda found: found.of(server=replica) == 0)
            await publisher.request("tally", "Count", {"Key": "b"})
            await measured(receiver, "eventstore.reads", lambda found: found.of(reason="none_up") == 1)
            assert receiver.metrics["eventstore.replica.lag"].unit == "{event}"
            way.go_on()


async def test_a_pause_is_told(receiver: Receiver, database: Database, vhost: str, publisher: Publisher) -> None:
    async with WorkerProcess.running(database.url, vhost, **receiver.variables):
        await measured(receiver, "worker.paused", lambda found: found.total == 0)
        async with without_connections(database):
            asking = asyncio.create_task(publisher.request("tally", "Count", {"Key": "a"}, timeout=60))
            await measured(receiver, "worker.paused", lambda found: found.total == 1)
        assert (await asking).first == 1
        await measured(receiver, "worker.paused", lambda found: found.total == 0)
