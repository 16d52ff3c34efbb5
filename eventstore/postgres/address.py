"""Database addresses, looked at before anything is connected: a mistake in one is not a server that is down."""

from urllib.parse import urlsplit

from eventstore.errors import StoreMisconfigured

__all__ = ["check_address"]

_SCHEMES = ("postgresql", "postgres")
_LAST_PORT = 65535


def check_address(url: str) -> None:
    """See whether an address has the form of one. The driver looks at the rest, some of it only when it connects.

    Raises:
        StoreMisconfigured: It has not; the message says what is wrong, without the address: it may hold a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _unusable(str(error)) from None
    if parts.scheme not in _SCHEMES:
        raise _unusable("it begins with postgresql://")
    for host in parts.netloc.rpartition("@")[2].split(","):
        _, colon, port = host.rpartition("]")[2].rpartition(":")
        if colon and port and not (port.isdecimal() and 0 < int(port) <= _LAST_PORT):
            raise _unusable(f"{port!r} is no port")


def _unusable(reason: str) -> StoreMisconfigured:
    return StoreMisconfigured(f"the database address is not usable: {reason}")
