"""Streams: what standard output lacks a character for is written out; what it cannot take at all is told."""

import codecs
import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["NotWritten", "escape_what_cannot_be_written", "written_out"]

_HANDLER = "worker-escapes"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class NotWritten(Exception):
    """Raised by ``written_out``: standard output took only a part, as where its disk is full."""


@contextmanager
def written_out() -> Iterator[None]:
    """Write what is printed before the program ends: what Python writes after that fails with a traceback.

    A reader that has gone, as ``head`` does, is no failure.

    Raises:
        NotWritten: It could not be written. The message says why.
    """
    try:
        try:
            yield
        finally:
            _flush()
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None:
            raise
        _drop_the_rest()
        raise NotWritten(f"the output cannot be written: {error.strerror}") from error


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_the_rest()


def _drop_the_rest() -> None:
    # Else Python tries once more at its end.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


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
