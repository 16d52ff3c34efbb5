import threading
from collections.abc import Iterator
from uuid import uuid4

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from eventstore import MemoryEventStore
from tests.support.domains.tally import domain
from worker.errors import SettingsError
from worker.message import CommandMessage
from worker.rounds import job_spans as job_spans_module
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings
from worker.telemetry import spans as spans_module
from worker.telemetry.providers import Telemetry
from worker.telemetry.spans import process_span
from worker.topology import Topology

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PUBLISHER = "b7ad6b7169203331"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # The global provider cannot be set twice; the modules' tracers can be replaced.
    for module in (spans_module, job_spans_module):
        monkeypatch.setattr(module, "tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def command(kind: str = "Count") -> CommandMessage:
    return CommandMessage(
        command_id=uuid4(),
        command_type=kind,
        body=b'{"Key":"a"}',
        correlation_id="visit",
        causation_id="door",
        headers={"traceparent": f"00-{TRACE_ID}-{PUBLISHER}-01", "x-delivery-count": 0},
    )


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


async def answer(relation: str, store: MemoryEventStore | None = None) -> CommandMessage:
    message = command()
    span = process_span(message, Topology("tally"), server=("mq", 5672), delivery_tag=7, relation=relation)
    with trace.use_span(span, end_on_exit=True):
        scheduler = Scheduler(store or MemoryEventStore(), domain, Settings())
        await scheduler.process(message)
        await scheduler.close()
    return message


async def test_a_command_continues_its_publishers_trace(spans: InMemorySpanExporter) -> None:
    message = await answer("parent")
    (process,) = named(spans, "process commands:tally:tally.commands")
    (attempt,) = named(spans, "attempt")
    (decide,) = named(spans, "decide Count")
    assert process.kind is SpanKind.CONSUMER
    assert process.parent is not None
    assert f"{process.parent.trace_id:032x}-{process.parent.span_id:016x}" == f"{TRACE_ID}-{PUBLISHER}"
    assert attempt.parent == process.context
    assert decide.parent == attempt.context
    assert dict(process.attributes or {}) == {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "commands:tally:tally.commands",
        "messaging.rabbitmq.destination.routing_key": "tally",
        "messaging.rabbitmq.message.delivery_tag": 7,
        "messaging.message.id": str(message.command_id),
        "messaging.message.conversation_id": "visit",
        "server.address": "mq",
        "server.port": 5672,
        "command.type": "Count",
    }


async def test_a_command_may_begin_a_trace_that_links_to_its_publishers(spans: InMemorySpanExporter) -> None:
    await answer("link")
    (process,) = named(spans, "process commands:tally:tally.commands")
    assert process.parent is None
    assert f"{process.context.trace_id:032x}" != TRACE_ID
    assert [f"{link.context.span_id:016x}" for link in process.links] == [PUBLISHER]


async def test_recorded_events_contain_the_trace_context(spans: InMemorySpanExporter) -> None:
    store = MemoryEventStore()
    message = await answer("parent", store)
    (process,) = named(spans, "process commands:tally:tally.commands")
    receipt = await store.receipt(message.command_id, scope="tally")
    assert receipt is not None
    assert receipt.outcome.details["trace_id"] == TRACE_ID
    assert store._log.events[0].metadata["traceparent"] == f"00-{TRACE_ID}-{process.context.span_id:016x}-01"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "pigeon"),
        ("OTEL_METRICS_EXPORTER", "crow"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "smoke"),
    ],
)
def test_an_exporter_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name} must be one of .*, not '{value}'"):
        Telemetry.start()


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "must be a number of seconds above 0, not '10s'"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "0", "must be a number of seconds above 0, not '0'"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "nan", "must be a number of seconds above 0, not 'nan'"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "must be one of none, gzip"),
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "zstd", "must be one of none, gzip"),
        ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "/nowhere", "names /nowhere, which cannot be read"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://mq:port", "must be an address such as"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key: hush", "must be a list such as name=value"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "a=b,hush", "must be a list such as name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", 'a="hush"', "must be a list such as name=value"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0", "must be a whole number above 0, not '0'"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", "must be a number of milliseconds above 0, not '0'"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1m", "must be a number of milliseconds above 0, not '1m'"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "-1", "must be a number of milliseconds above 0, not '-1'"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "some", "must be one of always_on, always_off, trace_based, not 'some'"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "x", "must be one of cumulative, delta, lowmemory"),
        ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "x", "must be one of explicit_bucket_histogram"),
        ("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "x", "names no detector that is installed: 'x'"),
    ],
)
def test_invalid_variables_are_reported_in_a_sentence(  # noqa: PLR0917  the parameters of a case
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    protocol: str,
    name: str,
    value: str,
    sentence: str,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name} {sentence}") as told:
        Telemetry.start()
    assert "hush" not in str(told.value) + caplog.text
    with pytest.raises(SettingsError) as checked:
        Telemetry.check()
    assert str(checked.value) == str(told.value)


def test_stopping_does_not_wait_for_a_hanging_exporter() -> None:
    hang = threading.Event()

    class Hanging(TracerProvider):
        def shutdown(self) -> None:
            hang.wait()

    try:
        assert Telemetry(Hanging(shutdown_on_exit=False), None).stop(timeout=0.01) is False
    finally:
        hang.set()


def test_metrics_get_the_time_left_by_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    def shut_down(_: object, seconds: float) -> bool:
        given.append(seconds)
        return True

    monkeypatch.setattr(Telemetry, "_shut_down", staticmethod(shut_down))
    assert Telemetry(TracerProvider(shutdown_on_exit=False), MeterProvider(shutdown_on_exit=False)).stop(timeout=60)
    traces, metrics = given
    assert traces <= 30 < metrics <= 60
