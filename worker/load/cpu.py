"""CPU time: what each process of a run has used, as counted by Linux."""

import os
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

__all__ = ["WORKERS", "ProcessCpu", "cpu_by_party", "cpu_spent"]

_PROC = Path("/proc")
# Fields of /proc/<pid>/stat after the program's name, which may itself contain spaces and brackets.
_PARENT, _USER, _SYSTEM, _CHILDREN_SYSTEM = 1, 11, 12, 14
# Servers that are child processes of the run's process, by program.
_SERVERS = {"postgres": "PostgreSQL, primary and replica", "beam.smp": "RabbitMQ"}
WORKERS = "workers"
"""The name of the worker processes among the parties."""


@dataclass(frozen=True, slots=True)
class ProcessCpu:
    """The CPU time of one process so far.

    Attributes:
        program: The program's name, as known to Linux.
        seconds: CPU seconds, in user and system mode together.
    """

    program: str
    seconds: float


def cpu_spent(root: int) -> dict[int, ProcessCpu]:
    """Return the CPU time of a process and its descendants, by process id.

    A descendant's figure includes its children that have ended. The result is empty without ``/proc``.
    """
    tick = 1 / os.sysconf("SC_CLK_TCK")
    children: defaultdict[int, list[int]] = defaultdict(list)
    found: dict[int, ProcessCpu] = {}
    for entry in _PROC.glob("[0-9]*/stat"):
        try:
            name, _, rest = entry.read_text(encoding="utf-8", errors="replace").rpartition(")")
        except OSError:
            continue  # it has just ended
        process, fields = int(entry.parent.name), rest.split()
        last = _SYSTEM if process == root else _CHILDREN_SYSTEM
        ticks = sum(int(field) for field in fields[_USER : last + 1])
        children[int(fields[_PARENT])].append(process)
        found[process] = ProcessCpu(program=name.partition("(")[2], seconds=ticks * tick)
    family: dict[int, ProcessCpu] = {}
    waiting = [root]
    while waiting:
        process = waiting.pop()
        if process in found and process not in family:
            family[process] = found[process]
            waiting.extend(children[process])
    return family


def cpu_by_party(workers: Collection[int]) -> dict[str, float]:
    """Return the CPU seconds of this process and its descendants so far, by party.

    Args:
        workers: The process ids of the workers.
    """
    spent: defaultdict[str, float] = defaultdict(float)
    for pid, process in cpu_spent(os.getpid()).items():
        if pid in workers:
            spent[WORKERS] += process.seconds
        elif pid == os.getpid():
            spent["publisher"] += process.seconds
        elif (party := _SERVERS.get(process.program)) is not None:
            spent[party] += process.seconds
    return spent
