"""Streams: what standard output cannot hold in its encoding is written out, so that JSON stays JSON."""

import codecs
import io
import sys

__all__ = ["escape_what_cannot_be_written"]

_HANDLER = "worker-escapes"


def escape_what_cannot_be_written() -> None:
    r"""Have a character that a terminal's or a file's encoding lacks written as ``\uXXXX``, which JSON reads, too."""
    codecs.register_error(_HANDLER, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)), error.end
