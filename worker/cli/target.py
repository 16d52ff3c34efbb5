"""A target: a file that a long run's figures go to."""

import errno
import os
from pathlib import Path

from worker.failures import Mistake

__all__ = ["check_writable", "save"]


def check_writable(path: Path) -> None:
    """Find out before a long run, and not behind it, that its figures cannot be kept.

    Everything is left as it was: a file that exists keeps its content, and one that does not is not left behind.

    Raises:
        Mistake: The file cannot be written.
    """
    try:
        if path.is_dir():
            raise Mistake(f"{path} cannot be written: it is a folder.")
        if not path.parent.is_dir():
            raise Mistake(f"{path} cannot be written: there is no such folder.")
        if not path.exists():
            # A link that leads nowhere stays, and leads nowhere again.
            new = Path(os.path.realpath(path))
            new.open("xb").close()
            new.unlink()
        elif path.is_file():
            path.open("ab").close()
        elif not os.access(path, os.W_OK):
            # It is not opened: to who reads from a pipe, being closed is the end.
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
