"""Free ports on the loopback interface."""

import random
import socket
import threading

from deploy.local.errors import StackError

__all__ = ["LOOPBACK", "free_port", "is_free"]

LOOPBACK = "127.0.0.1"
# Below Linux's range for outgoing connections (32768 and up): none of those can take the port of a server that is down
# for a moment, so a server that is killed comes back under its old address.
_LOWEST, _HIGHEST = 15_000, 32_000
_ATTEMPTS = 1000
_lock = threading.Lock()
_handed_out: set[int] = set()
_random = random.SystemRandom()


def free_port() -> int:
    """Return a port on which nothing listens, each only once in a process.

    Another process may take it before the server does; the server then fails to start and is given another one.

    Raises:
        StackError: None was found.
    """
    with _lock:
        for _ in range(_ATTEMPTS):
            port = _random.randint(_LOWEST, _HIGHEST)
            if port not in _handed_out and is_free(port):
                _handed_out.add(port)
                return port
    raise StackError(f"No free port between {_LOWEST} and {_HIGHEST} was found: end what listens there.")


def is_free(port: int) -> bool:
    """Return whether a server could listen on a port now, on this interface or on all."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Connections of a server that has ended linger; they keep no new one from listening.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
