"""``python -m tests.bench``: measure, print a table, and write ``.bench/latest.json``.

Environment: ``PART`` is ``store``, ``worker``, ``histories``, ``oracle``, ``bloat``, ``reading``, ``archive`` or
several of them, separated by commas (``store,worker`` by default). For store, histories and reading: ``SIZE`` events in
the log (1,000,000) and ``REPEAT`` rounds (5 for the store, 3 for the others). For the store: ``SLICE`` seconds per
measurement (0.3), ``HISTORY`` events of the longest history (100,000), and ``SUBJECTS``, separated by commas: ours,
ours with other drivers, the baselines, and the peers, which are skipped if they are not installed. For the worker:
``REPEAT`` rounds (7) of ``COMMANDS`` commands (20,000). For the oracle: ``ROUNDS`` rounds (3) of each of ``SIZES``
(1000,10000,50000) commands. For reading: ``RATE`` commands a second that a worker decides while a projection follows
(1,000). For bloat: ``COUNT`` appends (100,000). For archives: ``COMMANDS`` commands before half of the log is archived
(20,000).
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from deploy.local.errors import StackError
from tests.bench.archive import run as run_archive
from tests.bench.bloat import run as run_bloat
from tests.bench.figure import Figure
from tests.bench.histories.run import run as run_histories
from tests.bench.oracle import run as run_oracle
from tests.bench.process import BenchError
from tests.bench.reading.run import run as run_reading
from tests.bench.run import BASELINES, DRIVERS, OURS, PEERS, present, run, size_for
from tests.bench.table import show
from tests.bench.worker.run import run as run_worker

_N = TypeVar("_N", int, float)
_LATEST = Path(".bench") / "latest.json"


def main() -> int:
    """Run the benchmarks; return the exit status."""
    argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    start, load = time.monotonic(), os.getloadavg()[0]
    figures: list[Figure] = []
    notes: list[str] = []
    try:
        for part in _chosen("PART", list(_PARTS), ["store", "worker"]):
            found, more = _PARTS[part]()
            figures += found
            notes += more
    except (BenchError, StackError) as error:
        _progress(str(error))
        return 1
    _write(figures)
    notes.append(f"{time.monotonic() - start:.0f} s in all")
    notes.append(f"load average {load:.1f} before, {os.getloadavg()[0]:.1f} after, on {os.cpu_count()} processors")
    show(figures, notes)
    return 0


def _store() -> tuple[list[Figure], list[str]]:
    size = _parsed("SIZE", int, os.environ.get("SIZE", "1000000"))
    repeat = _parsed("REPEAT", int, os.environ.get("REPEAT", "5"))
    seconds = _parsed("SLICE", float, os.environ.get("SLICE", "0.3"))
    known = [OURS, *DRIVERS, *BASELINES, *PEERS]
    chosen = _chosen("SUBJECTS", known, known)
    subjects = [name for name in chosen if name not in PEERS or name in present()]
    figures = run(subjects, size=size, repeat=repeat, seconds=seconds, progress=_progress)
    notes = [f"store: {size:,} events; {repeat} rounds, medians"]
    notes += [f"{name}: {size_for(name, size):,} events" for name in subjects if size_for(name, size) != size]
    notes += [f"{peer}: not measured" for peer in PEERS if peer not in subjects]
    return figures, notes


def _worker() -> tuple[list[Figure], list[str]]:
    rounds = _parsed("REPEAT", int, os.environ.get("REPEAT", "7"))
    count = _parsed("COMMANDS", int, os.environ.get("COMMANDS", "20000"))
    figures = run_worker(repeat=rounds, count=count, progress=_progress)
    return figures, [f"worker: {count:,} commands, half as many for hot books; {rounds} rounds, medians"]


def _histories() -> tuple[list[Figure], list[str]]:
    size = _parsed("SIZE", int, os.environ.get("SIZE", "1000000"))
    rounds = _parsed("REPEAT", int, os.environ.get("REPEAT", "3"))
    figures = run_histories(size=size, repeat=rounds, progress=_progress)
    return figures, [f"histories: {size:,} events; {rounds} rounds, medians"]


def _oracle() -> tuple[list[Figure], list[str]]:
    rounds = _parsed("ROUNDS", int, os.environ.get("ROUNDS", "3"))
    sizes = [_parsed("SIZES", int, each) for each in os.environ.get("SIZES", "1000,10000,50000").split(",")]
    figures = run_oracle(sizes, repeat=rounds, progress=_progress)
    return figures, [f"oracle: all commands read one product; {rounds} rounds, medians"]


def _bloat() -> tuple[list[Figure], list[str]]:
    count = _parsed("COUNT", int, os.environ.get("COUNT", "100000"))
    return run_bloat(count, progress=_progress), [f"bloat: {count:,} appends beside an open snapshot"]


def _reading() -> tuple[list[Figure], list[str]]:
    size = _parsed("SIZE", int, os.environ.get("SIZE", "1000000"))
    rounds = _parsed("REPEAT", int, os.environ.get("REPEAT", "3"))
    rate = _parsed("RATE", int, os.environ.get("RATE", "1000"))
    figures = run_reading(size=size, repeat=rounds, rate=rate, progress=_progress)
    return figures, [f"reading: {size:,} events; {rounds} rounds, medians; {rate:,} commands/s beside it"]


def _archive() -> tuple[list[Figure], list[str]]:
    count = _parsed("COMMANDS", int, os.environ.get("COMMANDS", "20000"))
    figures = run_archive(count, progress=_progress)
    return figures, [f"archive: {count:,} commands of library-day before, a sixth as many after"]


_PARTS = {
    "store": _store,
    "worker": _worker,
    "histories": _histories,
    "oracle": _oracle,
    "bloat": _bloat,
    "reading": _reading,
    "archive": _archive,
}


def _chosen(variable: str, known: Sequence[str], default: Sequence[str]) -> list[str]:
    chosen = os.environ.get(variable, ",".join(default)).split(",")
    if unknown := [each for each in chosen if each not in known]:
        raise BenchError(f"{variable}: there is no {', '.join(map(repr, unknown))}; choose from {', '.join(known)}")
    return chosen


def _parsed(variable: str, kind: Callable[[str], _N], text: str) -> _N:
    try:
        value = kind(text)
    except ValueError:
        raise BenchError(f"{variable} is {text!r}, which is not a number") from None
    if not 0 < value < float("inf"):
        raise BenchError(f"{variable} is {text!r}; it is a number above 0")
    return value


def _write(figures: Sequence[Figure]) -> None:
    """Write the figures. Those of a part that was not measured in this run stay."""
    written = {figure.name: figure.as_json() for figure in figures}
    kept = json.loads(_LATEST.read_text(encoding="utf-8")) if _LATEST.exists() else []
    rest = [figure for figure in kept if figure["name"] not in written]
    _LATEST.parent.mkdir(exist_ok=True)
    _LATEST.write_text(json.dumps([*written.values(), *rest], indent=1) + "\n", encoding="utf-8")


def _progress(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {text}\n")


if __name__ == "__main__":
    sys.exit(main())
