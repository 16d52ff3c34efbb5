"""CPU time: what each party of a run spent, as Linux counts it."""

import os
from collections import defaultdict
from pathlib import Path

__all__ = ["cpu_seconds"]

_TICKS = os.sysconf("SC_CLK_TCK")
# Fields of /proc/<pid>/stat behind the program's name, which may itself contain spaces and brackets.
_PARENT, _USER, _CHILDREN_SYSTEM = 1, 11, 14


def cpu_seconds(*roots: int) -> float | None:
    """Return the CPU seconds that processes and all their descendants have used.

    Descendants that have ended are included where their parent has waited for them.

    Args:
        roots: The process ids. One that is gone counts nothing.

    Returns:
        The seconds, or None where there is no ``/proc``.
    """
    folder = Path("/proc")
    if not (folder / "self" / "stat").exists():
        return None
    ticks: dict[int, int] = {}
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in folder.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
        process = int(entry.name)
        ticks[process] = sum(int(value) for value in fields[_USER : _CHILDREN_SYSTEM + 1])
        children[int(fields[_PARENT])].append(process)
    waiting = list(roots)
    seen: set[int] = set()
    while waiting:
        process = waiting.pop()
        if process not in seen:
            seen.add(process)
            waiting.extend(children[process])
    return sum(ticks.get(process, 0) for process in seen) / _TICKS
