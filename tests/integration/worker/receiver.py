"""A receiver of traces and metrics over OTLP, by gRPC or HTTP, that keeps what it is sent."""

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric, NumberDataPoint
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.support.fixtures.waiting import eventually

KINDS = {
    trace_pb2.Span.SPAN_KIND_INTERNAL: "INTERNAL",
    trace_pb2.Span.SPAN_KIND_CLIENT: "CLIENT",
    trace_pb2.Span.SPAN_KIND_PRODUCER: "PRODUCER",
    trace_pb2.Span.SPAN_KIND_CONSUMER: "CONSUMER",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A span as it arrived; ids in hexadecimal.

    Attributes:
        service: The ``service.name`` of the process that it comes from.
        events: Each event's name and attributes.
        links: The spans it points to.
        failed: Whether its status is an error.
    """

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    links: list[str]
    failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A metric as it last arrived.

    Attributes:
        unit: Its unit.
        bounds: A histogram's bucket boundaries.
        values: The value, or a histogram's number of measurements, by attributes.
    """

    unit: str
    bounds: tuple[float, ...]
    values: dict[frozenset[tuple[str, Any]], float]

    @property
    def total(self) -> float:
        """All values together."""
        return sum(self.values.values())

    def of(self, **attributes: Any) -> float:
        """All values with these attributes, and any others, together. Dots are written as two underscores."""
        wanted = {(name.replace("__", "."), value) for name, value in attributes.items()}
        return sum(value for labels, value in self.values.items() if wanted <= labels)


@dataclass(slots=True)
class Receiver:
    """Keeps spans and metrics.

    Attributes:
        variables: The environment that has a process send them here.
        spans: The spans that have arrived.
        metrics: Each metric as it last arrived, by name.
    """

    variables: dict[str, str]
    spans: list[Received] = field(default_factory=list)
    metrics: dict[str, Measured] = field(default_factory=dict)

    def take(self, request: ExportTraceServiceRequest) -> None:
        """Keep the spans of an export request."""
        for resource in request.resource_spans:
            service = str(_values(resource.resource.attributes)["service.name"])
            for scope in resource.scope_spans:
                self.spans.extend(_received(service, span) for span in scope.spans)

    def take_metrics(self, request: ExportMetricsServiceRequest) -> None:
        """Keep the metrics of an export request."""
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                self.metrics.update((metric.name, _measured(metric)) for metric in scope.metrics)

    async def named(self, name: str, count: int) -> list[Received]:
        """Wait until so many spans of a name have arrived and return them."""

        async def have_arrived() -> bool:
            return sum(span.name == name for span in self.spans) >= count

        await eventually(have_arrived, what=f"{count} spans named {name!r}")
        return [span for span in self.spans if span.name == name]

    async def trace(self, trace_id: str, count: int) -> dict[str, Received]:
        """Wait until so many spans of a trace have arrived and return them by name, which must be different."""
        found = await self.all_of(trace_id, count)
        named = {span.name: span for span in found}
        assert len(named) == len(found)
        return named

    async def all_of(self, trace_id: str, count: int) -> list[Received]:
        """Wait until so many spans of a trace have arrived and return them, and whatever came besides."""

        async def have_arrived() -> bool:
            return sum(span.trace_id == trace_id for span in self.spans) >= count

        await eventually(have_arrived, what=f"{count} spans of trace {trace_id}")
        return [span for span in self.spans if span.trace_id == trace_id]


@contextmanager
def receiving(protocol: str) -> Iterator[Receiver]:
    """Receive spans by a protocol of ``OTEL_EXPORTER_OTLP_PROTOCOL`` until the ``with`` ends."""
    receiver = Receiver(
        {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_METRIC_EXPORT_INTERVAL": "100"}
    )
    with _over_grpc(receiver) if protocol == "grpc" else _over_http(receiver):
        yield receiver


@contextmanager
def _over_grpc(receiver: Receiver) -> Iterator[None]:
    class Service(TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> ExportTraceServiceResponse:  # noqa: ARG002, N802  as generated
            receiver.take(request)
            return ExportTraceServiceResponse()

    class MetricsService(MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> ExportMetricsServiceResponse:  # noqa: ARG002, N802  as generated
            receiver.take_metrics(request)
            return ExportMetricsServiceResponse()

    with ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads)
        add_TraceServiceServicer_to_server(Service(), server)  # type: ignore[no-untyped-call]  # it is generated
        add_MetricsServiceServicer_to_server(MetricsService(), server)  # type: ignore[no-untyped-call]  # likewise
        receiver.variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = (
            f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        )
        server.start()
        try:
            yield
        finally:
            server.stop(None).wait()


@contextmanager
def _over_http(receiver: Receiver) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            good = self.headers["Content-Type"] == "application/x-protobuf"
            if good and self.path == "/v1/traces":
                receiver.take(ExportTraceServiceRequest.FromString(body))
            elif good and self.path == "/v1/metrics":
                receiver.take_metrics(ExportMetricsServiceRequest.FromString(body))
            else:
                good = False
            self.send_response(200 if good else 400)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _received(service: str, span: trace_pb2.Span) -> Received:
    return Received(
        service=service,
        name=span.name,
        kind=KINDS[span.kind],
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_values(span.attributes),
        events=[(event.name, _values(event.attributes)) for event in span.events],
        links=[f"{link.trace_id.hex()}-{link.span_id.hex()}" for link in span.links],
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
    )


def _measured(metric: Metric) -> Measured:
    data = getattr(metric, str(metric.WhichOneof("data")))
    return Measured(
        unit=metric.unit,
        bounds=tuple(data.data_points[0].explicit_bounds) if metric.HasField("histogram") else (),
        values={frozenset(_values(point.attributes).items()): _value(point) for point in data.data_points},
    )


def _value(point: NumberDataPoint | HistogramDataPoint) -> float:
    if isinstance(point, HistogramDataPoint):
        return point.count
    return float(getattr(point, str(point.WhichOneof("value"))))


def _values(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in attributes}
