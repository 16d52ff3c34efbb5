"""``python -m tests.bench``: measure, print a table, and write ``.bench/latest.json``.

Environment: ``SIZE`` events in the log (1,000,000), ``REPEAT`` rounds (5), ``SLICE`` seconds a measurement (0.3), and
``PEERS=no`` to leave out the peers, which are also left out where they are not installed.
"""

import json
import os
import sys
import time
from pathlib import Path

from deploy.local.errors import StackError
from tests.bench.process import BenchError
from tests.bench.run import BASELINES, OURS, PEERS, present, run, size_for
from tests.bench.table import show

_LATEST = Path(".bench") / "latest.json"


def main() -> int:
    """Run the benchmarks; return the exit status."""
    size = int(os.environ.get("SIZE", "1000000"))
    repeat = int(os.environ.get("REPEAT", "5"))
    seconds = float(os.environ.get("SLICE", "0.3"))
    peers = present() if os.environ.get("PEERS") != "no" else []
    names = [OURS, *BASELINES, *peers]
    start, load = time.monotonic(), os.getloadavg()[0]
    try:
        figures = run(names, size=size, repeat=repeat, seconds=seconds, progress=_progress)
    except (BenchError, StackError) as error:
        _progress(str(error))
        return 1
    _LATEST.parent.mkdir(exist_ok=True)
    _LATEST.write_text(json.dumps([figure.as_json() for figure in figures], indent=1) + "\n", encoding="utf-8")
    notes = [f"{size:,} events; {repeat} rounds, medians; {time.monotonic() - start:.0f} s in all"]
    notes += [f"{peer}: {size_for(peer, size):,} events" for peer in peers if size_for(peer, size) != size]
    notes += [f"{peer}: not measured" for peer in PEERS if peer not in peers]
    notes.append(f"load average {load:.1f} before, {os.getloadavg()[0]:.1f} after, on {os.cpu_count()} processors")
    show(figures, notes)
    return 0


def _progress(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {text}\n")


if __name__ == "__main__":
    sys.exit(main())
