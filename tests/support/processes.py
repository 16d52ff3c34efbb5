"""Leftovers of a stack: processes and files below the parent of its state folder."""

import os
from collections.abc import Iterator
from pathlib import Path

OWNER = """
import signal
from deploy.local.stack import LocalStack
with LocalStack() as stack:
    print(stack.folder, flush=True)
    signal.pause()
"""


def processes_below(base: Path) -> list[str]:
    """Return the other processes whose command line, environment or working directory names a folder below the base."""
    return [f"{pid}: {words!r}" for pid, words in _processes() if str(base).encode() in words]


def left_below(base: Path) -> list[str]:
    """Return every remaining process and file."""
    return [*processes_below(base), *map(str, base.iterdir())]


def shared_memory() -> set[str]:
    """Return the machine's System V shared memory segments without an attached process."""
    lines = Path("/proc/sysvipc/shm").read_text(encoding="utf-8").splitlines()[1:]
    return {fields[1] for line in lines if (fields := line.split())[6] == "0"}


def _processes() -> Iterator[tuple[int, bytes]]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            parts = []
            for read in (_cmdline, _environment, _cwd):
                try:
                    parts.append(read(Path(entry.path)))
                except OSError:
                    continue  # it has ended meanwhile, or belongs to another user
            yield int(entry.name), b" ".join(parts)


def _cmdline(process: Path) -> bytes:
    return (process / "cmdline").read_bytes()


def _environment(process: Path) -> bytes:
    return (process / "environ").read_bytes()


def _cwd(process: Path) -> bytes:
    return os.fsencode((process / "cwd").readlink())
