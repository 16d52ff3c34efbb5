"""The current folder: lets a domain be tried without installing its package."""

import sys
from pathlib import Path

__all__ = ["look_in_current_folder"]


def look_in_current_folder() -> None:
    """Let modules be imported from the current folder, before installed ones.

    The script ``worker`` does not search the current folder, though ``python -m worker`` does. Python's options against
    that (``-P``, ``PYTHONSAFEPATH``) are respected. A file there that is named like a library hides it, so call this
    after everything but domains has been imported.
    """
    try:
        folder = str(Path.cwd())
    except FileNotFoundError:  # it was deleted, so it has no module
        return
    if not sys.flags.safe_path and folder not in sys.path:
        sys.path.insert(0, folder)
