"""System errors: what the operating system says of a connection, without its number."""

import ssl

__all__ = ["said_of"]


def said_of(error: BaseException) -> str:
    """Return what an error says: of the operating system's own, ``connection refused`` and not its number."""
    words = error.strerror if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
    if not words:
        return str(error)
    return words[:1].lower() + words[1:]
