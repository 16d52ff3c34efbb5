"""OTLP over HTTP. Importing it takes long, so it is imported only by processes that send."""

import gzip
import zlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from urllib.parse import urlsplit

import requests

from worker.telemetry.otlp_variables import OtlpOptions
from worker.telemetry.span_exporter import NotTaken

__all__ = ["HttpTransport"]

_HEADERS = {"content-type": "application/x-protobuf", "user-agent": "dynamic-streams-worker"}
_MAY_HELP = frozenset({429, 502, 503, 504})
_PORTS = {"http": 80, "https": 443}
_GOOD = range(200, 300)


class HttpTransport:
    """An HTTP session with a collector.

    Args:
        options: The collector's address, and how to send.
    """

    component = "otlp_http_span_exporter"

    def __init__(self, options: OtlpOptions) -> None:
        self._options = options
        parts = urlsplit(options.endpoint)
        self.host, self.port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        self._headers = {**_HEADERS, **options.headers}
        if options.compression != "none":
            self._headers["content-encoding"] = options.compression
        self._session = requests.Session()
        # Passed with each request: a CA bundle in the environment would take precedence over the session's own.
        self._verify = str(options.certificate) if options.certificate else True
        self._cert: str | tuple[str, str] | None = None
        if options.client_certificate:
            mine, key = str(options.client_certificate), options.client_key
            self._cert = (mine, str(key)) if key else mine

    def send(self, request: bytes, seconds: float) -> bytes:
        """Send an export request; return the response.

        Raises:
            NotTaken: The collector did not accept it within this many seconds.
        """
        deadline = monotonic() + seconds
        body = self._compressed(request)
        try:
            response = self._post(body, seconds)
        except requests.ConnectionError:
            # A kept connection that was lost is noticed when it is used again: the request is sent at once on another
            # one.
            response = self._again(body, deadline - monotonic())
        except requests.RequestException as error:
            raise _lost(error) from None
        if response.status_code in _GOOD:
            return response.content
        raise NotTaken(
            f"{response.status_code} {response.reason}",
            kind=str(response.status_code),
            may_help=response.status_code in _MAY_HELP,
            delay=_asked_delay(response.headers.get("retry-after")),
        )

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def _again(self, body: bytes, seconds: float) -> requests.Response:
        try:
            return self._post(body, max(seconds, 0.001))
        except requests.RequestException as error:
            raise _lost(error) from None

    def _post(self, body: bytes, seconds: float) -> requests.Response:
        return self._session.post(
            self._options.endpoint,
            data=body,
            headers=self._headers,
            timeout=seconds,
            allow_redirects=False,
            verify=self._verify,
            cert=self._cert,
        )

    def _compressed(self, request: bytes) -> bytes:
        match self._options.compression:
            case "gzip":
                return gzip.compress(request, 6)
            case "deflate":
                return zlib.compress(request)
            case _:
                return request


def _lost(error: requests.RequestException) -> NotTaken:
    may_help = isinstance(error, requests.ConnectionError | requests.Timeout)
    return NotTaken(str(error), kind=type(error).__name__, may_help=may_help)


def _asked_delay(told: str | None) -> float | None:
    """Return how long the collector asks to wait, in seconds; it answers with a number or a date."""
    if not told:
        return None
    try:
        until = parsedate_to_datetime(told)
    except ValueError:
        return float(told) if told.strip().isdecimal() else None
    return max((until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
