"""Spans on their way to a collector: secured, compressed, sent again, and taken in part, over both protocols."""

import gzip
import logging
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration  # type: ignore[import-untyped]  # it is generated
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # likewise
from opentelemetry.context import Context
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from tests.support.fixtures.certificates import Certificates, certify
from worker.telemetry import span_exporter
from worker.telemetry.grpc_transport import GrpcTransport
from worker.telemetry.http_transport import HttpTransport
from worker.telemetry.noted_span import Limits
from worker.telemetry.noted_tracer import NotedTracerProvider
from worker.telemetry.otlp_variables import OtlpOptions, OtlpProtocol
from worker.telemetry.sampler import sampler_from_environment
from worker.telemetry.span_exporter import OtlpSpanExporter
from worker.telemetry.span_queue import QueueLimits, SpanQueue

REFUSED = {"grpc": grpc.StatusCode.UNAVAILABLE, "http/protobuf": 503}
WRONG = {"grpc": grpc.StatusCode.INVALID_ARGUMENT, "http/protobuf": 400}
_COMPRESSED: dict[str | None, Callable[[bytes], bytes]] = {
    None: bytes,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
}


@dataclass
class Collector:
    """What a collector is told to answer, and what it was sent."""

    protocol: OtlpProtocol
    port: int = 0
    refusals: list[Any] = field(default_factory=list)
    rejected: int = 0
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [
            span.name
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def response(self) -> bytes:
        partly = ExportTracePartialSuccess(rejected_spans=self.rejected, error_message="too old")
        response = ExportTraceServiceResponse(partial_success=partly if self.rejected else None)
        written: bytes = response.SerializeToString()
        return written


@contextmanager
def collecting(protocol: OtlpProtocol, certificates: Certificates | None = None) -> Iterator[Collector]:
    """Take spans until the ``with`` ends; with certificates, from who has one of the same CA."""
    collector = Collector(protocol)
    with _grpc(collector, certificates) if protocol == "grpc" else _http(collector, certificates):
        yield collector


@contextmanager
def _grpc(collector: Collector, certificates: Certificates | None) -> Iterator[None]:
    def export(request: bytes, context: Any) -> bytes:
        collector.headers.append(dict(context.invocation_metadata()))
        if collector.refusals:
            retry = RetryInfo(retry_delay=Duration(nanos=1000)).SerializeToString()
            context.set_trailing_metadata((("google.rpc.retryinfo-bin", retry),))
            context.abort(collector.refusals.pop(0), "not now")
        collector.requests.append(ExportTraceServiceRequest.FromString(request))
        return collector.response()

    handler = grpc.method_handlers_generic_handler(
        "opentelemetry.proto.collector.trace.v1.TraceService", {"Export": grpc.unary_unary_rpc_method_handler(export)}
    )
    with ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers((handler,))
        if certificates is None:
            collector.port = server.add_insecure_port("127.0.0.1:0")
        else:
            pair = (certificates.server_key.read_bytes(), certificates.server.read_bytes())
            credentials = grpc.ssl_server_credentials([pair], certificates.ca.read_bytes(), require_client_auth=True)
            collector.port = server.add_secure_port("localhost:0", credentials)
        server.start()
        try:
            yield
        finally:
            server.stop(None).wait()


@contextmanager
def _http(collector: Collector, certificates: Certificates | None) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            status, answer = 200, b""
            if collector.refusals:
                status = collector.refusals.pop(0)
            else:
                plain = _COMPRESSED[self.headers["Content-Encoding"]](body)
                collector.requests.append(ExportTraceServiceRequest.FromString(plain))
                answer = collector.response()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.server, certificates.server_key)
            context.load_verify_locations(certificates.ca)
            context.verify_mode = ssl.CERT_REQUIRED
            server.socket = context.wrap_socket(server.socket, server_side=True)
        collector.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(params=["grpc", "http/protobuf"])
def protocol(request: pytest.FixtureRequest) -> OtlpProtocol:
    chosen: OtlpProtocol = request.param
    return chosen


def send(protocol: OtlpProtocol, *names: str) -> dict[str | None, float]:
    """End spans of these names, and see all of them off; return how many were exported, by the type of error."""
    options = OtlpOptions.from_environment(protocol)
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    transport = GrpcTransport(options) if protocol == "grpc" else HttpTransport(options)
    exporter = OtlpSpanExporter(Resource({}), transport, timeout=options.timeout, meter_provider=meters)
    queue = SpanQueue(exporter, QueueLimits(), meters)
    provider = NotedTracerProvider(
        queue, sampler=sampler_from_environment(), limits=Limits(128, None, 128, 128, 128, 128, None)
    )
    for name in names:
        provider.get_tracer("test").start_span(name, context=Context()).end()
    provider.shutdown()
    data = reader.get_metrics_data()
    assert data is not None
    (exported,) = (
        metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "otel.sdk.exporter.span.exported"
    )
    meters.shutdown()
    points: Any = exported.data.data_points
    return {point.attributes.get("error.type"): point.value for point in points}


def test_headers_and_compression_are_those_of_the_variables(
    protocol: OtlpProtocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=general")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "api-key=s3cret%20one,x-tenant=a")
    for compression in ("none", "gzip") if protocol == "grpc" else ("none", "gzip", "deflate"):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
        with collecting(protocol) as collector:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
            assert send(protocol, *["span"] * 50) == {None: 50}
        assert collector.names == ["span"] * 50
        (headers,) = collector.headers
        assert (headers["api-key"], headers["x-tenant"]) == ("s3cret one", "a")
        if protocol == "http/protobuf":
            assert headers.get("content-encoding") == (None if compression == "none" else compression)
            assert headers["content-type"] == "application/x-protobuf"


def test_a_connection_is_secured_by_the_variables(
    protocol: OtlpProtocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = certify("localhost", tmp_path)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
    with collecting(protocol, certificates) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"https://localhost:{collector.port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(certificates.ca))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", str(certificates.key))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", str(certificates.client))
        assert send(protocol, "known") == {None: 1}
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0.5")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", str(certificates.other_ca))
        assert None not in send(protocol, "to a stranger")
        monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE")
        monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE")
        monkeypatch.delenv("OTEL_EXPORTER_OTLP_CLIENT_KEY")
        assert None not in send(protocol, "of a stranger")
    assert collector.names == ["known"]


def test_what_may_help_is_tried_again_when_the_collector_asks_for_it(
    protocol: OtlpProtocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting(protocol) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
        collector.refusals = [REFUSED[protocol]] * 3
        # Of its own, it would wait for so long that it would give up.
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
        monkeypatch.setattr(span_exporter, "_FIRST_WAIT", 3600.0)
        assert send(protocol, "span") == {None: 1}
        assert collector.names == ["span"]
        assert len(collector.headers) == 4


def test_what_cannot_help_is_not_tried_again(
    protocol: OtlpProtocol, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with collecting(protocol) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
        collector.refusals = [WRONG[protocol]] * 2
        assert send(protocol, "a", "b") == {"INVALID_ARGUMENT" if protocol == "grpc" else "400": 2}
        assert len(collector.headers) == 1
    assert [record.message.partition(":")[0] for record in caplog.records if record.levelno >= logging.ERROR] == [
        "spans cannot be sent to the collector"
    ]


def test_what_is_rejected_is_told_and_counted(
    protocol: OtlpProtocol, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with collecting(protocol) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
        collector.rejected = 2
        assert send(protocol, "a", "b", "c") == {None: 1, "rejected": 2}
    assert "the collector rejected 2 spans: too old" in caplog.messages


def test_nobody_there_costs_no_more_than_the_timeout(protocol: OtlpProtocol, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    started = monotonic()
    assert send(protocol, "lost") == {"UNAVAILABLE" if protocol == "grpc" else "ConnectionError": 1}
    assert monotonic() - started < 10
