"""The span queue: waiting, dropped and finally exported spans."""

import json
import logging
import threading
from collections.abc import Sequence
from time import monotonic
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from tests.unit.worker.telemetry.kept import PLAIN
from worker.telemetry.logs import _JsonLines
from worker.telemetry.noted_span import NotedSpan
from worker.telemetry.noted_tracer import NotedTracerProvider
from worker.telemetry.providers import Telemetry
from worker.telemetry.sampler import sampler_from_environment
from worker.telemetry.span_queue import QueueLimits, SpanQueue

LONG = 60.0


class Gate:
    """An exporter that holds each batch until the test releases it."""

    def __init__(self, *, is_open: bool) -> None:
        self.batches: list[list[str]] = []
        self.began = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.closed = False
        self.failures = 0
        if is_open:
            self.go_on.set()

    def export(self, spans: Sequence[NotedSpan]) -> None:
        self.began.release()
        assert self.go_on.wait(LONG)
        if self.failures:
            self.failures -= 1
            raise ValueError("no")
        self.batches.append([span.name for span in spans])

    def close(self) -> None:
        self.closed = True


def provider(queue: SpanQueue) -> NotedTracerProvider:
    return NotedTracerProvider(queue, sampler=sampler_from_environment(), limits=PLAIN)


def end_spans(provider: NotedTracerProvider, *names: str) -> None:
    tracer = provider.get_tracer("test")
    for name in names:
        tracer.start_span(name, context=Context()).end()


def counted(reader: InMemoryMetricReader, name: str) -> dict[Any, float]:
    """The values of a metric, by the type of error."""
    data = reader.get_metrics_data()
    assert data is not None
    return {
        (point.attributes or {}).get("error.type"): point.value
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
        if isinstance(point, NumberDataPoint)
    }


def test_full_batches_are_sent_at_once_and_the_rest_at_the_end() -> None:
    gate = Gate(is_open=True)
    queue = SpanQueue(gate, QueueLimits(size=10, batch=2, delay=LONG), NoOpMeterProvider())
    ours = provider(queue)
    end_spans(ours, "a", "b")
    assert gate.began.acquire(timeout=LONG)
    end_spans(ours, "c")
    ours.shutdown()
    assert [name for batch in gate.batches for name in batch] == ["a", "b", "c"]
    assert gate.batches[0] == ["a", "b"]
    assert gate.closed


def test_a_span_waits_no_longer_than_the_delay() -> None:
    gate = Gate(is_open=True)
    ours = provider(SpanQueue(gate, QueueLimits(size=10, batch=5, delay=0.01), NoOpMeterProvider()))
    end_spans(ours, "a")
    assert gate.began.acquire(timeout=LONG)
    ours.shutdown()
    assert gate.batches == [["a"]]


def test_flushing_sends_waiting_spans() -> None:
    gate = Gate(is_open=True)
    ours = provider(SpanQueue(gate, QueueLimits(size=10, batch=2, delay=LONG), NoOpMeterProvider()))
    end_spans(ours, "a")
    assert ours.force_flush(1000)
    assert gate.batches == [["a"]]
    gate.go_on.clear()
    end_spans(ours, "b", "c")
    assert gate.began.acquire(timeout=LONG)
    assert gate.began.acquire(timeout=LONG)
    assert not ours.force_flush(10)  # the export thread is blocked
    gate.go_on.set()
    ours.shutdown()
    assert gate.batches == [["a"], ["b", "c"]]


def test_spans_beyond_the_queue_are_dropped_and_counted() -> None:
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    gate = Gate(is_open=False)
    ours = provider(SpanQueue(gate, QueueLimits(size=3, batch=1, delay=LONG), meters))
    end_spans(ours, "sent")
    assert gate.began.acquire(timeout=LONG)
    end_spans(ours, "1", "2", "3", "4", "5")
    assert counted(reader, "otel.sdk.processor.span.processed") == {None: 1, "queue_full": 2}
    assert counted(reader, "otel.sdk.processor.span.queue.size") == {None: 3}
    assert counted(reader, "otel.sdk.processor.span.queue.capacity") == {None: 3}
    gate.go_on.set()
    ours.shutdown()
    # The oldest are dropped: the latest spans are the most useful for an analysis.
    assert gate.batches == [["sent"], ["3"], ["4"], ["5"]]
    end_spans(ours, "late")
    processed = counted(reader, "otel.sdk.processor.span.processed")
    assert processed == {None: 4, "queue_full": 2, "already_shutdown": 1}
    meters.shutdown()


def test_a_failing_exporter_loses_only_its_batch() -> None:
    gate = Gate(is_open=True)
    gate.failures = 1
    ours = provider(SpanQueue(gate, QueueLimits(size=10, batch=1, delay=LONG), NoOpMeterProvider()))
    end_spans(ours, "a")
    assert gate.began.acquire(timeout=LONG)
    end_spans(ours, "b")
    ours.shutdown()
    assert gate.batches == [["b"]]


def test_stopping_ends_in_time_even_if_the_exporter_hangs() -> None:
    gate = Gate(is_open=False)
    ours = provider(SpanQueue(gate, QueueLimits(size=10, batch=1, delay=LONG), NoOpMeterProvider()))
    end_spans(ours, "a")
    started = monotonic()
    assert Telemetry(ours, None).stop(timeout=0.05) is False
    assert monotonic() - started < LONG / 2
    gate.go_on.set()


def test_what_is_logged_while_spans_are_sent_names_no_trace() -> None:
    lines: list[str] = []

    class Tells(Gate):
        def export(self, spans: Sequence[NotedSpan]) -> None:
            record = logging.LogRecord("worker.x", logging.WARNING, __file__, 1, "not taken", (), None)
            lines.append(_JsonLines().format(record))
            super().export(spans)

    ours = provider(SpanQueue(Tells(is_open=True), QueueLimits(size=10, batch=1, delay=LONG), NoOpMeterProvider()))
    end_spans(ours, "a")
    ours.shutdown()
    (line,) = map(json.loads, lines)
    assert line.keys() & {"trace_id", "span_id"} == set()
