"""Spans from a real exporter are received, parsed, drawn, and forwarded."""

from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Tracer
from rich.console import Console

from worker.load.traces.receiver import SpanReceiver
from worker.load.traces.spans import Spans
from worker.load.traces.tree import trace_tree


@pytest.fixture
def receiver() -> Iterator[SpanReceiver]:
    with SpanReceiver.listening() as listening:
        yield listening


@pytest.fixture
def tracer(receiver: SpanReceiver) -> Iterator[Tracer]:
    provider = TracerProvider(resource=Resource({"service.instance.id": "worker-7"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=receiver.endpoint, insecure=True)))
    yield provider.get_tracer("test")
    provider.shutdown()


def command(tracer: Tracer, *, attempts: int, replica: bool = True) -> None:
    with tracer.start_as_current_span("publish commands:library"), tracer.start_as_current_span("process"):
        for number in range(1, attempts + 1):
            with tracer.start_as_current_span("attempt", attributes={"command.attempt": number}) as attempt:
                with tracer.start_as_current_span("query events", attributes={"eventstore.replica": replica}):
                    pass
                if number < attempts:
                    conflict: dict[str, int | str | bool] = {
                        "conflict.sequence_number": 12,
                        "conflict.event_type": "Lent",
                        "conflict.read_position": 11,
                        "conflict.read_on_replica": replica,
                    }
                    attempt.add_event("conflict", conflict)


def test_counts_reads_and_traces(receiver: SpanReceiver, tracer: Tracer) -> None:
    command(tracer, attempts=1)
    command(tracer, attempts=2, replica=False)
    with tracer.start_as_current_span("publish commands:library"):
        pass
    spans = Spans.read(receiver.requests)
    assert (spans.count, spans.complete, spans.reads, spans.replica_reads) == (11, 2, 3, 1)


def test_chooses_and_draws_a_command_with_a_conflict(receiver: SpanReceiver, tracer: Tracer) -> None:
    for attempts in (1, 2, 4):
        command(tracer, attempts=attempts)
    spans = Spans.read(receiver.requests)
    chosen = spans.telling_trace()
    assert chosen is not None
    trace = spans.trace(chosen)
    console = Console(width=200, color_system=None)
    with console.capture() as drawn:
        console.print(trace_tree(trace))
    lines = drawn.get().splitlines()
    assert len(trace) == 6
    assert lines[0].startswith("publish commands:library")
    assert lines[1].startswith("└── process")
    assert "worker-7" in lines[1]
    assert (
        lines[3]
        .strip("│├─ ")
        .startswith("conflict: event 12 (Lent) came after position 11, where the replica was read")
    )
    assert "on the replica" in lines[4]


def test_draws_a_span_whose_parent_is_missing(receiver: SpanReceiver, tracer: Tracer) -> None:
    command(tracer, attempts=1)
    spans = Spans.read(receiver.requests)
    chosen = spans.telling_trace()
    assert chosen is not None
    orphaned = [span for span in spans.trace(chosen) if not span.name.startswith("publish")]
    console = Console(width=200, color_system=None)
    with console.capture() as drawn:
        console.print(trace_tree(orphaned))
    assert drawn.get().startswith("process")


def test_without_traces_none_is_chosen() -> None:
    assert Spans.read([]).telling_trace() is None


def test_forwards_spans(receiver: SpanReceiver, tracer: Tracer) -> None:
    command(tracer, attempts=1)
    with SpanReceiver.listening() as other:
        receiver.hand_on(other.endpoint)
        assert other.requests == receiver.requests
        assert other.requests


def test_a_missing_receiver_is_reported(receiver: SpanReceiver, tracer: Tracer) -> None:
    command(tracer, attempts=1)
    with SpanReceiver.listening() as other:
        gone = other.endpoint
    with pytest.raises(OSError, match="does not take spans"):
        receiver.hand_on(gone)
