"""A collector that hangs, refuses, or dies midway: commands are answered as without it, and what is dropped is told."""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.eventstore.staging import head_locked
from tests.integration.worker.receiver import Receiver, receiving
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.serving import QUEUES
from tests.support.worker_process import WorkerProcess
from worker.publisher import Publisher

_COMMANDS = 40
# Longer than a stopping worker may take, by far; it is no measurement.
_SECONDS = 60.0
SMALL = {
    "OTEL_BSP_MAX_QUEUE_SIZE": "16",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8",
    "OTEL_BSP_SCHEDULE_DELAY": "50",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "1",
    # Metrics leave once, at the end: past a collector of traces that may still hang.
    "OTEL_METRIC_EXPORT_INTERVAL": "600000",
}


@pytest.fixture(params=["grpc", "http/protobuf"])
def metrics(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    """A collector of the metrics, which is well."""
    with receiving(request.param) as receiver:
        yield receiver


@pytest.fixture(params=["hangs", "refuses"])
def deaf(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a collector that takes connections and never answers, or takes none."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if request.param == "hangs":
            taken.listen(100)
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def variables(metrics: Receiver, traces: str) -> dict[str, str]:
    """The environment that has spans sent to one address, and metrics to the collector that is well."""
    protocol = metrics.variables["OTEL_EXPORTER_OTLP_PROTOCOL"]
    path = "" if protocol == "grpc" else "/v1/metrics"
    return {
        **SMALL,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_ENDPOINT": traces,
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": metrics.variables["OTEL_EXPORTER_OTLP_ENDPOINT"] + path,
    }


async def served_and_told(worker: WorkerProcess, database: Database, client: AmqpClient, metrics: Receiver) -> None:
    """See commands answered, dropped spans counted and told, and the worker end in order."""
    # Their spans end together, which are more than the queue has room for, however slow this machine is just now.
    async with head_locked(database.admin_url):
        for number in range(_COMMANDS):
            await client.put(json.dumps({"Key": str(number)}).encode(), reply_to=client.replies)
        await client.holds(QUEUES.queue, 0)
    replies = await client.answers(_COMMANDS)
    assert {reply["outcome"] for reply in replies.values()} == {"accepted"}

    worker.signal()
    async with asyncio.timeout(_SECONDS):
        assert await worker.status() == 0
    assert worker.report()["accepted"] >= _COMMANDS
    assert metrics.metrics["worker.deliveries.settled"].of(end="accepted") == worker.report()["accepted"]
    assert metrics.metrics["otel.sdk.processor.span.processed"].of(error__type="queue_full") > 0
    exported = metrics.metrics["otel.sdk.exporter.span.exported"].values
    assert sum(count for labels, count in exported.items() if "error.type" in dict(labels)) > 0
    told = Counter(
        record["message"].partition(":")[0]
        for record in worker.records
        if record["logger"].startswith(("opentelemetry", "worker.telemetry"))
    )
    assert told["queue full"] == 1
    assert told["spans cannot be sent to the collector"] == 1
    assert set(told.values()) == {1}, told


async def test_a_collector_that_hangs_or_refuses(
    database: Database, vhost: str, client: AmqpClient, metrics: Receiver, deaf: str
) -> None:
    async with WorkerProcess.running(database.url, vhost, **variables(metrics, deaf)) as worker:
        await served_and_told(worker, database, client, metrics)


async def test_a_collector_that_dies_midway(
    database: Database, vhost: str, publisher: Publisher, client: AmqpClient, metrics: Receiver
) -> None:
    with ExitStack() as living:
        traces = living.enter_context(receiving(metrics.variables["OTEL_EXPORTER_OTLP_PROTOCOL"]))
        endpoint = traces.variables["OTEL_EXPORTER_OTLP_ENDPOINT"]
        async with WorkerProcess.running(database.url, vhost, **variables(metrics, endpoint)) as worker:
            await publisher.request("tally", "Count", {"Key": "before"})
            await traces.named("append events", 1)
            living.close()
            await served_and_told(worker, database, client, metrics)
