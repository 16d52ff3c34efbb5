"""System errors: the operating system's message without its error number."""

import ssl

__all__ = ["said_of"]


def said_of(error: BaseException) -> str:
    """Return an error's message; for an ``OSError`` without its number, such as ``connection refused``."""
    words = error.strerror if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
    if not words:
        return str(error)
    return words[:1].lower() + words[1:]
