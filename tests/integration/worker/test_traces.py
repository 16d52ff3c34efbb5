"""The traces of a publisher here and a worker process there, as a collector receives them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit
from uuid import uuid4

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

from eventstore import START, Event, Filter, P
from eventstore.postgres import PostgresEventStore
from tests.integration.eventstore.staging import connected, head_locked, waiting
from tests.integration.worker.receiver import Receiver, receiving
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.serving import QUEUES
from tests.support.worker_process import WorkerProcess
from worker import publisher as publisher_module
from worker.publisher import Publisher

Recorded: TypeAlias = Callable[[int], Awaitable[str]]
Urls: TypeAlias = tuple[SplitResult, SplitResult]

PUBLISH = "publish commands:tally"
PROCESS = "process commands:tally:tally.commands"
WINNER = {"command_id": "theirs", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
TREE = {PUBLISH, PROCESS, "attempt", "query events", "decide Count", "append events"}


@pytest.fixture(params=["grpc", "http/protobuf"])
def receiver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Receives the spans of this process's publishers, and of the processes that are told to send them."""
    with receiving(request.param) as receiver:
        endpoint = receiver.variables["OTEL_EXPORTER_OTLP_ENDPOINT"]
        grpc = request.param == "grpc"
        exporter: SpanExporter = (
            GrpcExporter(endpoint, insecure=True) if grpc else HttpExporter(endpoint=f"{endpoint}/v1/traces")
        )
        provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        # The process has one global provider, which cannot be set twice; the module's tracer can.
        monkeypatch.setattr(publisher_module, "tracer", provider.get_tracer("test"))
        yield receiver
        provider.shutdown()


@pytest.fixture
async def worker(receiver: Receiver, database: Database, vhost: str) -> AsyncIterator[WorkerProcess]:
    async with WorkerProcess.running(database.url, vhost, **receiver.variables) as worker:
        yield worker


@pytest.fixture
def recorded(store: PostgresEventStore) -> Recorded:
    """Says in which trace an event was recorded, by its number and its own account."""

    async def trace_of(number: int) -> str:
        event = (await store.query(Filter.matching_any_event())).events[number - 1]
        assert event.sequence_number == number
        return str(event.metadata["traceparent"]).split("-")[1]

    return trace_of


@pytest.fixture
def urls(database: Database, vhost: str) -> Urls:
    """The database's and the broker's address."""
    return urlsplit(database.url), urlsplit(vhost)


async def test_one_trace_reaches_from_the_publisher_to_the_append(
    receiver: Receiver, worker: WorkerProcess, recorded: Recorded, publisher: Publisher, urls: Urls
) -> None:
    reply = await publisher.request("tally", "Count", {"Key": "a"}, correlation_id="visit")
    worker.signal()
    assert await worker.status() == 0  # it has sent every span by then
    spans = await receiver.trace(await recorded(1), 6)
    # Six in all, each below the one that caused it.
    assert set(spans) == TREE
    ids = {span.span_id: span.name for span in spans.values()}
    assert {span.name: (span.kind, ids.get(span.parent_id)) for span in spans.values()} == {
        PUBLISH: ("PRODUCER", None),
        PROCESS: ("CONSUMER", PUBLISH),
        "attempt": ("INTERNAL", PROCESS),
        "query events": ("CLIENT", "attempt"),
        "decide Count": ("INTERNAL", "attempt"),
        "append events": ("CLIENT", "attempt"),
    }
    assert {span.service for span in spans.values()} == {"shop", "dynamic-streams-worker"}
    assert spans[PUBLISH].service == "shop"
    assert not any(span.failed for span in spans.values())
    there, broker = urls
    command = {
        "messaging.system": "rabbitmq",
        "messaging.rabbitmq.destination.routing_key": "tally",
        "messaging.message.id": str(reply.command_id),
        "messaging.message.conversation_id": "visit",
        "server.address": broker.hostname,
        "server.port": broker.port,
    }
    assert spans[PUBLISH].attributes == {
        **command,
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "commands:tally",
    }
    assert spans[PROCESS].attributes == {
        **command,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "commands:tally:tally.commands",
        "messaging.rabbitmq.message.delivery_tag": 1,
        "command.type": "Count",
        "command.outcome": "accepted",
        "command.attempts": 1,
        "command.duplicate": False,
    }
    asked = {
        "db.system.name": "postgresql",
        "db.namespace": f"{there.path.lstrip('/')}|eventstore",
        "db.collection.name": "events",
        "server.address": there.hostname,
        "server.port": there.port,
    }
    query, append = spans["query events"], spans["append events"]
    assert (asked | {"db.operation.name": "query"}).items() <= query.attributes.items()
    stored = {"db.operation.name": "append", "db.stored_procedure.name": "append_v3"}
    assert (asked | stored).items() <= append.attributes.items()
    assert spans["attempt"].attributes["command.attempt"] == 1
    assert spans["decide Count"].attributes["command.decision"] == "accepted"


@pytest.mark.usefixtures("worker")
async def test_a_conflict_is_an_event_on_the_attempt_and_names_who_was_faster(
    receiver: Receiver, store: PostgresEventStore, recorded: Recorded, publisher: Publisher, database: Database
) -> None:
    boundary = Filter.matching().any_event_type_of("Counted").and_any_predicate_of(P("Key", "a"))
    async with connected(database.admin_url) as admin:
        async with head_locked(database.admin_url):
            rival = asyncio.create_task(
                store.append(
                    [Event(type="Counted", payload={"Key": "a"}, metadata=WINNER)], boundary=boundary, after=START
                )
            )
            await waiting(admin, 1)
            asking = asyncio.create_task(publisher.request("tally", "Count", {"Key": "a"}))
            await waiting(admin, 2)
        assert ((await rival).first, (await asking).first) == (1, 2)
    trace_id = await recorded(2)
    # The publisher's and the process's span, and twice the four of an attempt.
    spans = await receiver.all_of(trace_id, 10)
    process = next(span for span in spans if span.name == PROCESS)
    attempts = {span.attributes["command.attempt"]: span for span in spans if span.name == "attempt"}
    assert {span.parent_id for span in attempts.values()} == {process.span_id}
    (conflict,) = attempts[1].events
    assert conflict == (
        "conflict",
        {
            "conflict.kind": "ConcurrencyConflict",
            "conflict.sequence_number": 1,
            "conflict.event_type": "Counted",
            "conflict.command_id": "theirs",
            "conflict.trace_id": "0af7651916cd43dd8448eb211c80319c",
            "conflict.read_position": 0,
            "conflict.read_on_replica": False,
        },
    )
    assert attempts[2].events == []
    assert attempts[1].attributes["command.waited"] == 0
    assert 0 < attempts[2].attributes["command.waited"] <= 0.05
    assert process.attributes["command.attempts"] == 2
    assert not any(span.failed for span in spans)


@pytest.mark.usefixtures("worker")
async def test_a_command_that_relied_on_a_refused_event_names_whose_it_was(
    receiver: Receiver, store: PostgresEventStore, recorded: Recorded, publisher: Publisher, database: Database
) -> None:
    boundary = Filter.matching().any_event_type_of("Counted").and_any_predicate_of(P("Key", "a"))
    refused = uuid4()
    async with connected(database.admin_url) as admin, asyncio.TaskGroup() as asking:
        async with head_locked(database.admin_url):
            asking.create_task(
                store.append([Event(type="Counted", payload={"Key": "a"})], boundary=boundary, after=START)
            )
            await waiting(admin, 1)
            asked = [
                asking.create_task(publisher.request("tally", "Count", {"Key": "a", "Limit": 9}, command_id=refused))
            ]
            await waiting(admin, 2)
            # Decided on top of the one that waits to be recorded, and will not be.
            asked.append(asking.create_task(publisher.request("tally", "Count", {"Key": "a", "Limit": 9})))
            await receiver.named("decide Count", 2)
        first, relying = [(await each).first for each in asked]
    assert first is not None
    assert relying is not None
    spans = await receiver.all_of(await recorded(relying), 7)
    (attempt,) = [span for span in spans if span.name == "attempt"]
    assert attempt.events == [("broken", {"broken.command_id": str(refused), "broken.trace_id": await recorded(first)})]
    assert sorted(span.name for span in spans if span.parent_id == attempt.span_id) == [
        "append events",
        "decide Count",
        "decide Count",
        "query events",
    ]


@pytest.mark.usefixtures("worker")
async def test_appends_that_share_a_batch_link_to_its_span(
    receiver: Receiver, publisher: Publisher, database: Database
) -> None:
    async with (
        connected(database.admin_url) as admin,
        asyncio.TaskGroup() as asking,
        head_locked(database.admin_url),
    ):
        asking.create_task(publisher.request("tally", "Count", {"Key": "first"}))
        await waiting(admin, 1)
        for key in "abc":
            asking.create_task(publisher.request("tally", "Count", {"Key": key}))
        await receiver.named("decide Count", 4)
    (batch,) = await receiver.named("append batch", 1)
    appends = await receiver.named("append events", 4)
    link = f"{batch.trace_id}-{batch.span_id}"
    assert sorted(append.links for append in appends) == [[], [link], [link], [link]]
    # It belongs to the trace of one of them.
    assert batch.parent_id in {append.span_id for append in appends if append.links}
    assert (batch.kind, batch.attributes["db.operation.batch.size"]) == ("CLIENT", 3)
    assert batch.attributes["eventstore.events"] == 3


async def test_a_trace_that_is_left_out_by_sampling_has_no_span_at_all(
    receiver: Receiver, database: Database, vhost: str, publisher: Publisher
) -> None:
    variables = {**receiver.variables, "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
    async with WorkerProcess.running(database.url, vhost, **variables):
        assert (await publisher.request("tally", "Count", {"Key": "a"})).first == 1
    assert {span.name for span in receiver.spans} == {PUBLISH}


@pytest.mark.usefixtures("worker")
async def test_a_dead_letter_is_an_error_of_the_process_and_keeps_its_trace(
    receiver: Receiver, publisher: Publisher, client: AmqpClient
) -> None:
    await publisher.publish("tally", "Count", {})
    letter = await client.take(QUEUES.dead_queue)
    trace_id = str(letter.headers["traceparent"]).split("-")[1]
    # An append of nothing: no append of the command may be left behind.
    spans = await receiver.trace(trace_id, 3)
    assert set(spans) == {PUBLISH, PROCESS, "append events"}
    process = spans[PROCESS]
    assert process.failed
    assert process.attributes["error.type"] == "invalid_command"


async def test_processing_may_be_a_trace_of_its_own_with_a_link(
    receiver: Receiver, database: Database, vhost: str, recorded: Recorded, publisher: Publisher
) -> None:
    variables = {**receiver.variables, "WORKER_TRACE_PARENT": "link", "OTEL_SERVICE_NAME": "tally-worker"}
    async with WorkerProcess.running(database.url, vhost, **variables):
        await publisher.request("tally", "Count", {"Key": "a"})
        spans = await receiver.trace(await recorded(1), 5)
    assert set(spans) == TREE - {PUBLISH}
    (publish,) = [span for span in receiver.spans if span.name == PUBLISH]
    process = spans[PROCESS]
    assert (process.parent_id, process.links) == ("", [f"{publish.trace_id}-{publish.span_id}"])
    assert process.trace_id != publish.trace_id
    assert process.service == "tally-worker"
