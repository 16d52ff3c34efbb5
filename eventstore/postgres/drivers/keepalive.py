"""TCP keepalive: how soon a connection to a vanished server, or behind a network cut without a reset, counts as lost.

The system's own limits are two hours for a connection that waits, and a quarter of an hour for one that has sent. A
statement without a timeout would wait that long.
"""

import asyncio
import socket
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["LIBPQ", "keep_alive"]

_IDLE, _INTERVAL, _PROBES = 30, 10, 3
_SECONDS = _IDLE + _INTERVAL * _PROBES

LIBPQ: Mapping[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": _IDLE,
    "keepalives_interval": _INTERVAL,
    "keepalives_count": _PROBES,
    "tcp_user_timeout": _SECONDS * 1000,
}
"""The parameters of libpq that do what ``keep_alive`` does."""

# Systems differ in which they have, and macOS in the name of the first.
_OPTIONS = {
    "TCP_KEEPALIVE" if sys.platform == "darwin" else "TCP_KEEPIDLE": _IDLE,
    "TCP_KEEPINTVL": _INTERVAL,
    "TCP_KEEPCNT": _PROBES,
    "TCP_USER_TIMEOUT": _SECONDS * 1000,
}


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Make a TCP connection fail when its other end has not answered for a minute. Other connections are left alone.

    Args:
        transport: The connection's transport.
    """
    its = transport.get_extra_info("socket")
    if its is None or its.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    its.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if hasattr(socket, name):
            its.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
