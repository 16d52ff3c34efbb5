"""The resident memory of this process."""

import gc
import os
import threading
from collections.abc import Awaitable
from pathlib import Path

__all__ = ["growth", "resident"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MEGABYTE = 1_000_000
_LOOK_SECONDS = 0.01


def resident() -> float:
    """The resident set, in MB."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE / _MEGABYTE


async def growth(work: Awaitable[object]) -> float:
    """The largest growth of the resident set during a piece of work, in MB."""
    gc.collect()
    before = highest = resident()
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(_LOOK_SECONDS):
            highest = max(highest, resident())

    watcher = threading.Thread(target=watch, name="memory")
    watcher.start()
    try:
        await work
    finally:
        done.set()
        watcher.join()
    return highest - before
