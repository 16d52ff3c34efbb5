"""The receiver: an OTLP endpoint on the loopback interface that keeps every span for later."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

# Read by the library when it is imported. Its support for forking is of no use to a process that executes another
# program, but logs complaints.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

import grpc

__all__ = ["SpanReceiver"]

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
_LARGEST_REQUEST = 64 * 1024 * 1024
_STOP_SECONDS = 2.0
_HAND_ON_SECONDS = 10.0
# An ExportTraceServiceResponse that accepts everything.
_TAKEN = b""


class SpanReceiver:
    """Receives what exporters send over gRPC, and keeps it unparsed: parsing would take time from the run.

    Attributes:
        endpoint: The value for ``OTEL_EXPORTER_OTLP_ENDPOINT``.
        requests: The export requests as received, in protobuf.
    """

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.requests = requests

    @classmethod
    @contextmanager
    def listening(cls) -> Iterator["SpanReceiver"]:
        """Listen on a free port inside the ``with``."""
        requests: list[bytes] = []

        def export(request: bytes, _: grpc.ServicerContext) -> bytes:
            requests.append(request)
            return _TAKEN

        handler = grpc.unary_unary_rpc_method_handler(export)
        # One thread: it only appends to a list.
        with ThreadPoolExecutor(1, thread_name_prefix="span-receiver") as threads:
            server = grpc.server(threads, options=[("grpc.max_receive_message_length", _LARGEST_REQUEST)])
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Export": handler}),))
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            try:
                yield cls(port, requests)
            finally:
                server.stop(_STOP_SECONDS).wait()

    def hand_on(self, endpoint: str) -> None:
        """Send everything that was received to another OTLP endpoint, over gRPC.

        Args:
            endpoint: Its address, with ``http://`` for one without TLS.

        Raises:
            OSError: The endpoint does not accept the spans.
        """
        parts = urlsplit(endpoint)
        secure = parts.scheme == "https"
        target = parts.netloc or endpoint
        with (
            grpc.secure_channel(target, grpc.ssl_channel_credentials()) if secure else grpc.insecure_channel(target)
        ) as channel:
            export = channel.unary_unary(f"/{_SERVICE}/Export", None, None)
            try:
                for request in self.requests:
                    export(request, timeout=_HAND_ON_SECONDS)
            except grpc.RpcError as error:
                raise OSError(f"{endpoint} does not take spans over OTLP/gRPC: {error}") from error
