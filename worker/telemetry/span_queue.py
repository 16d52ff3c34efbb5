"""The queue: holds ended spans for the thread that encodes and sends them, like the SDK's batch processor.

Its counts have the SDK's names, so that existing dashboards work. Source:
https://opentelemetry.io/docs/specs/semconv/otel/sdk-metrics/
"""

import logging
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from opentelemetry import context, trace
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from eventstore.counted import counted
from worker.telemetry.noted_span import NotedSpan
from worker.telemetry.untraced import UNTRACED

__all__ = ["QueueLimits", "SpanExporter", "SpanQueue"]

_log = logging.getLogger(__name__)

_COMPONENT = {
    "otel.component.type": "batching_span_processor",
    "otel.component.name": "batching_span_processor/0",
}
_QUEUE_FULL = {**_COMPONENT, "error.type": "queue_full"}
_ALREADY_SHUTDOWN = {**_COMPONENT, "error.type": "already_shutdown"}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """How many spans wait, and for how long.

    Attributes:
        size: The most spans that wait. Beyond that, the oldest are dropped.
        batch: The most spans that are sent at once.
        delay: The longest time that a span waits for others, in seconds.
    """

    size: int = 2048
    batch: int = 512
    delay: float = 5.0


class SpanExporter(Protocol):
    """Sends spans."""

    def export(self, spans: Sequence[NotedSpan]) -> None:
        """Send spans, or log why that was not possible."""

    def close(self) -> None:
        """Close the connection."""


class SpanQueue:
    """Takes ended spans, and has them exported by a thread of its own.

    Args:
        exporter: Sends the spans; used by one thread at a time.
        limits: How many spans wait, and for how long.
        meter_provider: The meter provider for counts of spans that were processed or dropped.
    """

    def __init__(self, exporter: SpanExporter, limits: QueueLimits, meter_provider: MeterProvider) -> None:
        self._exporter = exporter
        self._limits = limits
        self._waiting: deque[NotedSpan] = deque(maxlen=limits.size)
        self._awake = threading.Event()
        self._exporting = threading.Lock()
        self._closed = False
        # The first two are counted by the threads that make spans: concurrent threads may count too few.
        self._full = self._late = self._processed = 0
        self._told = 0
        self._observe(meter_provider)
        self._thread = threading.Thread(target=self._run, name="span-exporter", daemon=True)
        self._thread.start()

    def put(self, span: NotedSpan) -> None:
        """Take a span. Never waits; if the queue is full, the oldest span is dropped."""
        if self._closed:
            self._late += 1
            return
        waiting = self._waiting
        if len(waiting) >= self._limits.size:
            self._full += 1
        waiting.append(span)
        if len(waiting) >= self._limits.batch and not self._awake.is_set():
            self._awake.set()

    def flush(self, seconds: float) -> bool:
        """Send what was put before; return whether that was done in time."""
        deadline = monotonic() + seconds
        if not self._exporting.acquire(timeout=seconds):
            return False
        try:
            for _ in range(len(self._waiting)):
                if not self._waiting or monotonic() > deadline:
                    break
                self._export_batch()
            return not self._waiting or monotonic() <= deadline
        finally:
            self._exporting.release()

    def close(self) -> None:
        """Send what waits, and take no more. Returns when all of it was sent or given up."""
        self._closed = True
        self._awake.set()
        self._thread.join()
        self._exporter.close()

    def _run(self) -> None:
        # Instrumentation of the libraries that send must not trace this thread.
        context.attach(trace.set_span_in_context(trace.NonRecordingSpan(UNTRACED)))
        while not self._closed:
            self._awake.wait(self._limits.delay)
            full = self._awake.is_set()
            self._awake.clear()
            with self._exporting:
                # If it was woken, spans that do not fill a batch keep waiting for others.
                while self._waiting and (not full or len(self._waiting) >= self._limits.batch):
                    self._export_batch()
        with self._exporting:
            while self._waiting:
                self._export_batch()

    def _export_batch(self) -> None:
        waiting = self._waiting
        batch = [waiting.popleft() for _ in range(min(self._limits.batch, len(waiting)))]
        self._processed += len(batch)
        if self._full > self._told:
            self._told = self._full
            _log.warning("queue full: %s dropped so far, since the collector is too slow", counted(self._full, "span"))
        try:
            self._exporter.export(batch)
        except Exception:  # noqa: BLE001  any error; later spans are sent
            _log.exception("spans cannot be exported")

    def _observe(self, meter_provider: MeterProvider) -> None:
        meter = meter_provider.get_meter("opentelemetry-sdk")

        def processed(_: CallbackOptions) -> Iterable[Observation]:
            yield Observation(self._processed, _COMPONENT)
            if self._full:
                yield Observation(self._full, _QUEUE_FULL)
            if self._late:
                yield Observation(self._late, _ALREADY_SHUTDOWN)

        meter.create_observable_counter(
            "otel.sdk.processor.span.processed",
            [processed],
            unit="{span}",
            description="The number of spans for which the processing has finished, either successful or failed.",
        )
        meter.create_observable_up_down_counter(
            "otel.sdk.processor.span.queue.size",
            [lambda _: [Observation(len(self._waiting), _COMPONENT)]],
            unit="{span}",
            description="The number of spans in the queue of a given instance of an SDK span processor.",
        )
        capacity = meter.create_up_down_counter(
            "otel.sdk.processor.span.queue.capacity",
            unit="{span}",
            description="The maximum number of spans the queue of a given instance of an SDK span processor can hold.",
        )
        capacity.add(self._limits.size, _COMPONENT)
