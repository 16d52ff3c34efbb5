"""The exporter: encodes spans as OTLP and sends them, again if the collector says that this may help.

Results are counted under the SDK's names. Source: https://opentelemetry.io/docs/specs/semconv/otel/sdk-metrics/
"""

import logging
import threading
from collections.abc import Sequence
from time import monotonic, perf_counter
from typing import Protocol

from opentelemetry.metrics import MeterProvider
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource

from eventstore.backoff import Backoff
from eventstore.counted import counted
from worker.telemetry.noted_span import NotedSpan
from worker.telemetry.otlp import Encoder

__all__ = ["NotTaken", "OtlpSpanExporter", "Transport"]

_log = logging.getLogger(__name__)

_ATTEMPTS = 6
# About a second, doubled each time, plus or minus a fifth.
_FIRST_WAIT = 1.2
_JITTER = 1 / 3


class NotTaken(Exception):
    """Raised when the collector did not accept a request. The text says why.

    Attributes:
        kind: The reason in a word, for the metrics.
        may_help: Whether sending the request again may help.
        delay: How long to wait before that, in seconds; None if the collector did not say.
    """

    def __init__(self, text: str, *, kind: str, may_help: bool, delay: float | None = None) -> None:
        super().__init__(text)
        self.kind = kind
        self.may_help = may_help
        self.delay = delay


class Transport(Protocol):
    """Sends requests to a collector.

    Attributes:
        component: The SDK's name of its exporter for the same protocol.
        host: The collector's host.
        port: The collector's port.
    """

    component: str
    host: str
    port: int

    def send(self, request: bytes, seconds: float) -> bytes:
        """Send an export request; return the response.

        Raises:
            NotTaken: The collector did not accept it within this many seconds.
        """

    def close(self) -> None:
        """Close the connection."""


class OtlpSpanExporter:
    """Sends spans to a collector.

    Args:
        resource: The resource that produces the spans.
        transport: Sends the requests.
        timeout: The longest time to send a batch, including retries, in seconds.
        meter_provider: The meter provider for counts of spans that were sent or not.
    """

    def __init__(
        self,
        resource: Resource,
        transport: Transport,
        *,
        timeout: float,
        meter_provider: MeterProvider,
    ) -> None:
        self._encoder = Encoder(resource)
        self._transport = transport
        self._timeout = timeout
        self._closing = threading.Event()
        self._counts: dict[str, str | int] = {
            "otel.component.type": transport.component,
            "otel.component.name": f"{transport.component}/0",
            "server.address": transport.host,
            "server.port": transport.port,
        }
        meter = meter_provider.get_meter("opentelemetry-sdk")
        self._inflight = meter.create_up_down_counter(
            "otel.sdk.exporter.span.inflight",
            unit="{span}",
            description="The number of spans which were passed to the exporter, but that have not been exported yet.",
        )
        self._exported = meter.create_counter(
            "otel.sdk.exporter.span.exported",
            unit="{span}",
            description="The number of spans for which the export has finished, either successful or failed.",
        )
        self._duration = meter.create_histogram(
            "otel.sdk.exporter.operation.duration",
            unit="s",
            description="The duration of exporting a batch of telemetry records.",
        )

    def export(self, spans: Sequence[NotedSpan]) -> None:
        """Send spans, or log why that was not possible."""
        count = len(spans)
        started = perf_counter()
        self._inflight.add(count, self._counts)
        failed: dict[str, str] = {"error.type": "unknown"}
        try:
            rejected = self._rejected(self._sent(self._encoder.request(spans)))
            failed = {}
            if rejected:
                self._exported.add(rejected, {**self._counts, "error.type": "rejected"})
                count -= rejected
        except NotTaken as failure:
            failed = {"error.type": failure.kind}
            _log.error("spans cannot be sent to the collector: %s", failure)
        finally:
            self._inflight.add(-len(spans), self._counts)
            self._exported.add(count, {**self._counts, **failed})
            self._duration.record(perf_counter() - started, {**self._counts, **failed})

    def close(self) -> None:
        """Close the connection. Retries are given up."""
        self._closing.set()
        self._transport.close()

    def _sent(self, request: bytes) -> bytes:
        deadline = monotonic() + self._timeout
        backoff = Backoff(first=_FIRST_WAIT, longest=_FIRST_WAIT * 2**_ATTEMPTS, jitter=_JITTER)
        while True:
            try:
                return self._transport.send(request, max(deadline - monotonic(), 0.001))
            except NotTaken as failure:
                wait = backoff.next_wait()
                if failure.delay is not None:
                    wait = failure.delay
                if not failure.may_help or backoff.waits == _ATTEMPTS or wait > deadline - monotonic():
                    raise
                _log.warning("the collector did not take spans, which are sent again: %s", failure)
                if self._closing.wait(wait):
                    raise

    @staticmethod
    def _rejected(response: bytes) -> int:
        """Parse the collector's response, and return how many spans it rejected."""
        if not response:
            return 0
        partly = ExportTraceServiceResponse.FromString(response).partial_success
        if partly.rejected_spans or partly.error_message:
            _log.warning("the collector rejected %s: %s", counted(partly.rejected_spans, "span"), partly.error_message)
        return int(partly.rejected_spans)
