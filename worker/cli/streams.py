"""Streams: characters that standard output cannot encode are escaped; failures to write are reported."""

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
    """Raised by ``written_out`` when standard output took only a part, for example because its disk is full."""


@contextmanager
def written_out() -> Iterator[None]:
    """Flush the output before the program ends: if Python does that later, it fails with a traceback.

    A reader that has closed the pipe, such as ``head``, is no failure.

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
    # Otherwise Python tries once more at its end.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def escape_what_cannot_be_written() -> None:
    r"""Write a character that the encoding of a terminal or file lacks as ``\uXXXX``, which JSON reads, too."""
    codecs.register_error(_HANDLER, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)), error.end
