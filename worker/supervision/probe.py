"""The probe: asks a worker on this machine for its health.

Probes run every few seconds beside each worker, so this module imports little, and nothing of this project.
"""

import json
import socket
import time

__all__ = ["LIVE_PATH", "READY_PATH", "ask"]

LIVE_PATH = "/livez"
READY_PATH = "/readyz"

_SECONDS = 5.0
_MOST_BYTES = 64 * 1024
_OK = 200
# A server that listens on all addresses listens on the loopback address, too.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  nothing is bound here


def ask(host: str, port: int, *, ready: bool, seconds: float = _SECONDS) -> tuple[bool, str]:
    """Ask a worker's health server.

    Args:
        host: The address that it listens on.
        port: The port that it listens on.
        ready: Whether to ask for readiness; otherwise for liveness.
        seconds: The longest time to wait for the answer.

    Returns:
        Whether it is ready or live, and why, for people. A server that does not answer, or is no worker, is neither.
    """
    try:
        answer = _exchange(_LOOPBACK.get(host, host), port, READY_PATH if ready else LIVE_PATH, seconds)
    # An invalid host name is found before a request is sent.
    except (OSError, UnicodeError) as error:
        why = error.strerror or error if isinstance(error, OSError) else error
        return False, f"no worker answers on {host}, port {port}: {why}"
    try:
        head, _, body = answer.partition(b"\r\n\r\n")
        version, status, *_ = head.decode("latin-1").split(maxsplit=2)
        reason = json.loads(body)["reason"]
    except (ValueError, KeyError, TypeError):
        version, status, reason = "", "", ""
    if not version.startswith("HTTP/1.") or not status.isdigit() or not isinstance(reason, str):
        return False, f"another program than a worker answers on {host}, port {port}"
    return int(status) == _OK, reason


def _exchange(host: str, port: int, path: str, seconds: float) -> bytes:
    """Return everything that is answered until the connection is closed, limited in time and size."""
    until = time.monotonic() + seconds
    with socket.create_connection((host, port), timeout=seconds) as connection:
        answer = b""
        try:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            while len(answer) <= _MOST_BYTES:
                if (left := until - time.monotonic()) <= 0:
                    raise TimeoutError("timed out")
                connection.settimeout(left)
                if not (more := connection.recv(_MOST_BYTES)):
                    break
                answer += more
        except ConnectionError:
            # A server that has not read the request resets the connection when it closes it; a worker has read it.
            return answer
        return answer
