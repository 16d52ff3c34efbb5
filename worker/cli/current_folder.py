"""The current folder: where a domain can be tried without installing its package."""

import sys
from pathlib import Path

__all__ = ["look_in_current_folder"]


def look_in_current_folder() -> None:
    """Let modules be found in the current folder, before those that are installed.

    The script ``worker`` does not look for modules where it is called, though ``python -m worker`` does. Who has told
    Python not to (``-P``, ``PYTHONSAFEPATH``) is heeded. A file there that is named like a library hides it, and so
    this is called when everything but domains has been imported.
    """
    folder = str(Path.cwd())
    if not sys.flags.safe_path and folder not in sys.path:
        sys.path.insert(0, folder)
