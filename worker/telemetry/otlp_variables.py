"""The variables of OTLP exporters, read and checked.

Variables for one signal take precedence over those for all. Source:
https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import environ
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

from opentelemetry.util.re import parse_env_headers

from worker.errors import SettingsError

__all__ = ["Compression", "OtlpOptions", "OtlpProtocol", "OtlpSignal"]

OtlpProtocol: TypeAlias = Literal["grpc", "http/protobuf"]
OtlpSignal: TypeAlias = Literal["TRACES", "METRICS"]
Compression: TypeAlias = Literal["none", "gzip", "deflate"]

_PREFIX = "OTEL_EXPORTER_OTLP_"
_DEFAULT_SECONDS = 10.0
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*=[ \t]*[ !#-+\--:<-\[\]-~]*")
_COMPRESSIONS: Mapping[str, tuple[Compression, ...]] = {
    "grpc": ("none", "gzip"),
    "http/protobuf": ("none", "gzip", "deflate"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpOptions:
    """Where spans or metrics are sent, and how.

    Attributes:
        endpoint: ``host:port`` for gRPC; a URL with its path for HTTP.
        insecure: Whether gRPC is used without TLS; for HTTP the URL's scheme determines that.
        headers: Headers of each request. They may contain secrets.
        timeout: The longest time to send a batch, including retries, in seconds.
        compression: The compression of requests.
        certificate: File of the trusted CAs; None for the system's.
        client_key: File of the client's key, for servers that ask for a client certificate; None for none.
        client_certificate: File of the client's certificate; None for none.
    """

    endpoint: str
    insecure: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = _DEFAULT_SECONDS
    compression: Compression = "none"
    certificate: Path | None = None
    client_key: Path | None = None
    client_certificate: Path | None = None

    @classmethod
    def from_environment(cls, protocol: OtlpProtocol, signal: OtlpSignal = "TRACES") -> "OtlpOptions":
        """Read the variables for a signal.

        Args:
            protocol: The protocol in use.
            signal: The signal, as in the variables' names.

        Raises:
            SettingsError: One of them is wrong.
        """
        endpoint, insecure = _grpc_target(signal) if protocol == "grpc" else (_http_address(signal), False)
        return cls(
            endpoint=endpoint,
            insecure=insecure,
            headers=_headers(signal),
            timeout=_seconds(signal),
            compression=_compression(signal, protocol),
            certificate=_file("CERTIFICATE", signal),
            client_key=_file("CLIENT_KEY", signal),
            client_certificate=_file("CLIENT_CERTIFICATE", signal),
        )


def _headers(signal: OtlpSignal) -> Mapping[str, str]:
    variable, given = _given("HEADERS", signal)
    if not all(_HEADER.fullmatch(each.strip()) for each in given.split(",") if each.strip()):
        # Not shown, and not left to the library, which logs what it cannot parse.
        raise SettingsError(
            f"{variable} must be a list such as name=value,other=value; in a value, write a comma, a semicolon, a "
            "quotation mark and a backslash as %2C, %3B, %22 and %5C."
        )
    return parse_env_headers(given, liberal=True)


def _compression(signal: OtlpSignal, protocol: OtlpProtocol) -> Compression:
    variable, given = _given("COMPRESSION", signal)
    known = _COMPRESSIONS[protocol]
    wanted = given.lower().strip() or "none"
    for compression in known:
        if compression == wanted:
            return compression
    raise SettingsError(f"{variable} must be one of {', '.join(known)} over {protocol}, not {given!r}.")


def _given(name: str, signal: OtlpSignal) -> tuple[str, str]:
    """Return the variable that applies and its value: the signal's, or else the one for all signals."""
    for variable in (f"{_PREFIX}{signal}_{name}", f"{_PREFIX}{name}"):
        if given := environ.get(variable):
            return variable, given
    return f"{_PREFIX}{name}", ""


def _grpc_target(signal: OtlpSignal) -> tuple[str, bool]:
    variable, given = _given("ENDPOINT", signal)
    endpoint = given or "http://localhost:4317"
    parts = _parts(variable, endpoint)
    if parts.scheme == "https":
        return parts.netloc, False
    variable, insecure = _given("INSECURE", signal)
    if insecure.lower() not in {"", "true", "false"}:
        raise SettingsError(f"{variable} must be true or false, not {insecure!r}.")
    return parts.netloc or endpoint, insecure.lower() == "true" if insecure else parts.scheme == "http"


def _http_address(signal: OtlpSignal) -> str:
    variable, given = _given("ENDPOINT", signal)
    if not given:
        given = "http://localhost:4318"
    parts = _parts(variable, given)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError(f"{variable} must be an address such as http://collector:4318 over http/protobuf.")
    if variable == f"{_PREFIX}{signal}_ENDPOINT":
        return given
    return f"{given.removesuffix('/')}/v1/{signal.lower()}"


def _parts(variable: str, endpoint: str) -> SplitResult:
    try:
        parts = urlsplit(endpoint)
        _ = parts.port
    except ValueError:
        raise SettingsError(f"{variable} must be an address such as http://collector:4317.") from None
    return parts


def _seconds(signal: OtlpSignal) -> float:
    variable, given = _given("TIMEOUT", signal)
    try:
        seconds = float(given) if given else _DEFAULT_SECONDS
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise SettingsError(f"{variable} must be a number of seconds above 0, not {given!r}.")
    return seconds


def _file(name: str, signal: OtlpSignal) -> Path | None:
    variable, given = _given(name, signal)
    if not given:
        return None
    path = Path(given)
    try:
        path.open("rb").close()
    except OSError as error:
        raise SettingsError(f"{variable} names {given}, which cannot be read: {error.strerror}.") from None
    return path
