"""A target: a file for the figures of a long run."""

import errno
import os
from pathlib import Path

from worker.failures import Mistake

__all__ = ["check_writable", "save"]


def check_writable(path: Path) -> None:
    """Check before a long run that the file for its figures can be written.

    Nothing is changed: an existing file keeps its content, and a new one is removed again.

    Raises:
        Mistake: The file cannot be written.
    """
    try:
        if path.is_dir():
            raise Mistake(f"{path} cannot be written: it is a folder.")
        if not path.parent.is_dir():
            raise Mistake(f"{path} cannot be written: there is no such folder.")
        if not path.exists():
            # A dangling link is kept.
            new = Path(os.path.realpath(path))
            new.open("xb").close()
            new.unlink()
        elif path.is_file():
            path.open("ab").close()
        elif not os.access(path, os.W_OK):
            # It is not opened: for the reader of a pipe, closing it is the end.
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise _unwritable(path, error) from error


def save(path: Path, text: str) -> None:
    """Write a file.

    Raises:
        Mistake: It cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> Mistake:
    return Mistake(f"{path} cannot be written: {error.strerror}.")
