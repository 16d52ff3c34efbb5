"""Spans: the costs of recording and encoding them compared with the SDK, and the cost of a span that is not sampled.

``python -m tests.bench.spans`` prints medians of CPU time. The alternatives alternate, so that the machine's load
affects all of them equally.
"""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from uuid import uuid4

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import DEFAULT_ON
from opentelemetry.trace import SpanKind, Tracer, set_span_in_context

from eventstore.telemetry import child_span
from worker.message import CommandMessage
from worker.telemetry.noted_span import Limits, NotedSpan
from worker.telemetry.noted_tracer import NotedTracerProvider
from worker.telemetry.otlp import Encoder
from worker.telemetry.sampler import ChosenSampler
from worker.telemetry.spans import process_span
from worker.topology import Topology

_ROUNDS = 9
_COMMANDS = 1000
_SPANS = 5
_BATCH = 512
_TOPOLOGY = Topology("library")
_SERVER = ("127.0.0.1", 5672)
_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
_DATABASE: Mapping[str, str | int] = {
    "db.system.name": "postgresql",
    "db.namespace": "library|eventstore",
    "server.address": "127.0.0.1",
    "server.port": 5432,
    "db.collection.name": "events",
}


class _Kept:
    """Discards recorded spans."""

    def __init__(self) -> None:
        self.spans: list[NotedSpan] = []

    def put(self, span: NotedSpan) -> None:
        self.spans.append(span)

    def flush(self, seconds: float) -> bool:
        return seconds >= 0

    def close(self) -> None:
        self.spans.clear()


class _Ended(SpanProcessor):
    """Discards the SDK's spans."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def _command(tracer: Tracer, number: int) -> None:
    """Make the spans that a worker makes for a command, with their attributes."""
    command_id = str(uuid4())
    process = tracer.start_span(
        "process commands:library:library.commands",
        kind=SpanKind.CONSUMER,
        context=Context(),
        attributes={
            "messaging.system": "rabbitmq",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "commands:library:library.commands",
            "messaging.rabbitmq.destination.routing_key": "library",
            "messaging.rabbitmq.message.delivery_tag": number,
            "messaging.message.id": command_id,
            "messaging.message.conversation_id": command_id,
            "server.address": "127.0.0.1",
            "server.port": 5672,
            "command.type": "LendBookCopyToReader",
        },
    )
    attempt = tracer.start_span(
        "attempt",
        context=set_span_in_context(process, Context()),
        attributes={"command.attempt": 1, "command.waited": 0.0},
    )
    below = set_span_in_context(attempt, Context())
    query = tracer.start_span(
        "query events",
        context=below,
        kind=SpanKind.CLIENT,
        attributes={
            **_DATABASE,
            "db.operation.name": "query",
            "eventstore.filter_type": "types_and_predicates",
            "eventstore.filters": 2,
            "eventstore.consistency": "eventual",
        },
    )
    query.set_attribute("eventstore.events", 3)
    query.set_attribute("eventstore.position", number)
    query.set_attribute("eventstore.replica", value=False)
    query.end()
    decide = tracer.start_span("decide LendBookCopyToReader", context=below, attributes={"command.events_read": 3})
    decide.set_attribute("command.decision", "accepted")
    decide.end()
    append = tracer.start_span(
        "append events",
        context=below,
        kind=SpanKind.CLIENT,
        attributes={
            **_DATABASE,
            "db.operation.name": "append",
            "db.stored_procedure.name": "append_v2",
            "eventstore.events": 1,
            "eventstore.conditional": True,
        },
    )
    append.set_attribute("eventstore.position", number)
    append.set_attribute("eventstore.duplicate", value=False)
    append.end()
    attempt.end()
    process.set_attribute("command.outcome", "accepted")
    process.set_attribute("command.attempts", 1)
    process.set_attribute("command.duplicate", value=False)
    process.end()


def _generated(span: NotedSpan) -> bytes:
    """Encode a span with the generated classes, as directly as they allow."""
    wire = WireSpan(
        trace_id=span.trace_id.to_bytes(16, "big"),
        span_id=span.span_id.to_bytes(8, "big"),
        parent_span_id=span.parent_id.to_bytes(8, "big"),
        name=span.name,
        kind=WireSpan.SPAN_KIND_INTERNAL,
        start_time_unix_nano=span.start_time,
        end_time_unix_nano=span.end_time or 0,
        attributes=[KeyValue(key=key, value=_any(value)) for key, value in span.attributes.items()],
    )
    written: bytes = wire.SerializeToString()
    return written


def _any(value: object) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=str(value))


def _left_out(flags: str) -> Callable[[int], None]:
    """Make the calls that a worker makes for a command whose trace is not sampled, by its publisher or here."""
    headers = {"traceparent": f"{_TRACE}-{flags}"} if flags else {}
    message = CommandMessage(
        command_id=uuid4(),
        command_type="LendBookCopyToReader",
        body=b"{}",
        correlation_id="visit",
        causation_id="door",
        headers=headers,
    )
    tracer = trace.get_tracer("worker")

    def command(number: int) -> None:
        process = process_span(message, _TOPOLOGY, server=_SERVER, delivery_tag=number)
        context = set_span_in_context(process, Context())
        for name in ("attempt", "query events", "decide", "append events"):
            child_span(tracer, name, {}, context=context).end()
        process.end()

    return command


def main() -> None:  # noqa: C901  one nested function per alternative
    """Measure, and print the results."""
    resource = Resource.create()
    kept, ended, encoder = _Kept(), _Ended(), Encoder(resource)
    limits = Limits(128, None, 128, 128, 128, 128, None)
    every_trace = ChosenSampler(sampler=DEFAULT_ON, is_standard=True, follows_parents=True, root_bound=1 << 64)
    noting = NotedTracerProvider(kept, sampler=every_trace, limits=limits).get_tracer("worker")
    sdk = TracerProvider(DEFAULT_ON, resource, shutdown_on_exit=False)
    sdk.add_span_processor(ended)
    making = sdk.get_tracer("worker")
    no_root = ChosenSampler(sampler=DEFAULT_ON, is_standard=True, follows_parents=True, root_bound=0)
    trace.set_tracer_provider(NotedTracerProvider(kept, sampler=no_root, limits=limits))
    unsampled, root = _left_out("00"), _left_out("")

    def each(make: Callable[[int], None]) -> None:
        for number in range(_COMMANDS):
            make(number)

    def written() -> None:
        for start in range(0, len(kept.spans), _BATCH):
            encoder.request(kept.spans[start : start + _BATCH])

    def generated() -> None:
        for span in kept.spans:
            _generated(span)

    def encoded() -> None:
        for start in range(0, len(ended.spans), _BATCH):
            encode_spans(ended.spans[start : start + _BATCH]).SerializeToString()

    measured: dict[str, tuple[Callable[[], None], int]] = {
        "noted, a span": (lambda: each(lambda number: _command(noting, number)), _SPANS),
        "written by hand, a span": (written, _SPANS),
        "written by the generated classes, a span": (generated, _SPANS),
        "made by the SDK, a span": (lambda: each(lambda number: _command(making, number)), _SPANS),
        "encoded by the SDK, a span": (encoded, _SPANS),
        "left out by the publisher, a command": (lambda: each(unsampled), 1),
        "left out here, a command": (lambda: each(root), 1),
    }
    figures: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(_ROUNDS):
        kept.spans.clear()
        ended.spans.clear()
        for name, (work, spans) in measured.items():
            before = time.process_time()
            work()
            figures[name].append((time.process_time() - before) / _COMMANDS / spans * 1e6)
    for name, values in figures.items():
        sys.stdout.write(f"{name}: {statistics.median(values):.1f} µs (least {min(values):.1f})\n")


if __name__ == "__main__":
    main()
