"""OTLP over gRPC. Importing it takes long, so it is imported only by processes that send."""

from collections.abc import Iterable
from typing import cast
from urllib.parse import urlsplit

import grpc
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # it is generated

from worker.telemetry.otlp_variables import OtlpOptions
from worker.telemetry.span_exporter import NotTaken

__all__ = ["GrpcTransport"]

_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_RETRY_INFO = "google.rpc.retryinfo-bin"
_MAY_HELP = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


class GrpcTransport:
    """A channel to a collector; replaced after the collector was unreachable, since an old one waits longer each time.

    Args:
        options: The collector's address, and how to send.
    """

    component = "otlp_grpc_span_exporter"

    def __init__(self, options: OtlpOptions) -> None:
        self._options = options
        parts = urlsplit(f"//{options.endpoint}")
        self.host, self.port = parts.hostname or "", parts.port or 443
        self._credentials = None if options.insecure else _credentials(options)
        self._metadata = tuple(options.headers.items())
        self._open()

    def send(self, request: bytes, seconds: float) -> bytes:
        """Send an export request; return the response.

        Raises:
            NotTaken: The collector did not accept it within this many seconds.
        """
        try:
            response: bytes = self._export(request, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            if code is grpc.StatusCode.UNAVAILABLE:
                self._channel.close()
                self._open()
            text = f"{code.name}: {error.details()}"
            raise NotTaken(text, kind=code.name, may_help=code in _MAY_HELP, delay=_asked_delay(error)) from None
        except ValueError as error:  # the channel was closed by another thread
            raise NotTaken(str(error), kind="CANCELLED", may_help=False) from None
        else:
            return response

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _open(self) -> None:
        gzip = self._options.compression == "gzip"
        compression = grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression
        endpoint, options = self._options.endpoint, [("grpc.primary_user_agent", "dynamic-streams-worker")]
        self._channel = (
            grpc.insecure_channel(endpoint, options, compression)
            if self._credentials is None
            else grpc.secure_channel(endpoint, self._credentials, options, compression)
        )
        # Both sides as bytes: the request is encoded already.
        self._export = self._channel.unary_unary(_EXPORT, None, None)


def _credentials(options: OtlpOptions) -> grpc.ChannelCredentials:
    authorities, key, certificate = (
        file.read_bytes() if file else None
        for file in (options.certificate, options.client_key, options.client_certificate)
    )
    return grpc.ssl_channel_credentials(authorities, key, certificate)


def _asked_delay(error: grpc.RpcError) -> float | None:
    """Return how long the collector asks to wait, in seconds; None if it does not say."""
    # At run time these are pairs; the stubs say otherwise.
    metadata = cast("Iterable[tuple[str, bytes]]", error.trailing_metadata() or ())
    for key, value in metadata:
        if key == _RETRY_INFO:
            delay = RetryInfo.FromString(value).retry_delay
            return float(delay.seconds + delay.nanos / 1e9)
    return None
