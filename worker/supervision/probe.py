"""The probe: asks the worker that runs here how it is.

Probes run every few seconds beside every worker, so this module loads hardly anything, and nothing of this project.
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
# Who listens on all addresses listens on the loopback one, too.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  nothing is bound here


def ask(host: str, port: int, *, ready: bool, seconds: float = _SECONDS) -> tuple[bool, str]:
    """Ask a worker's health server.

    Args:
        host: The address that it listens on.
        port: Its port.
        ready: Whether to ask if it takes commands, and not only if it is live.
        seconds: How long to wait for its answer.

    Returns:
        Whether it is so, and why, for a person. What does not answer, or is no worker, is neither live nor ready.
    """
    try:
        answer = _exchange(_LOOPBACK.get(host, host), port, READY_PATH if ready else LIVE_PATH, seconds)
    # A name that is none is found out before anybody is asked for it.
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
        return False, f"something else than a worker answers on {host}, port {port}"
    return int(status) == _OK, reason


def _exchange(host: str, port: int, path: str, seconds: float) -> bytes:
    """Return all that is answered until the connection is closed, up to a bound in time and size."""
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
            # One that has not read what it was asked resets the connection when it closes it: no worker does.
            return answer
        return answer
