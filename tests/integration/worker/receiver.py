"""A receiver of traces over OTLP, by gRPC or HTTP, that keeps what it is sent."""

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.fixtures.waiting import eventually

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


@dataclass(slots=True)
class Receiver:
    """Keeps spans.

    Attributes:
        variables: The environment that has a process send its spans here.
        spans: What has arrived.
    """

    variables: dict[str, str]
    spans: list[Received] = field(default_factory=list)

    def take(self, request: ExportTraceServiceRequest) -> None:
        """Keep the spans of an export request."""
        for resource in request.resource_spans:
            service = str(_values(resource.resource.attributes)["service.name"])
            for scope in resource.scope_spans:
                self.spans.extend(_received(service, span) for span in scope.spans)

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
    receiver = Receiver({"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_BSP_SCHEDULE_DELAY": "50"})
    with _over_grpc(receiver) if protocol == "grpc" else _over_http(receiver):
        yield receiver


@contextmanager
def _over_grpc(receiver: Receiver) -> Iterator[None]:
    class Service(TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> ExportTraceServiceResponse:  # noqa: ARG002, N802  as generated
            receiver.take(request)
            return ExportTraceServiceResponse()

    with ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads)
        add_TraceServiceServicer_to_server(Service(), server)  # type: ignore[no-untyped-call]  # it is generated
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
            good = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            if good:
                receiver.take(ExportTraceServiceRequest.FromString(body))
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


def _values(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in attributes}
