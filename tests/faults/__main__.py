"""``python -m tests.faults``: the long form of the fault tests, with a table, also in ``.bench/faults.json``.

Environment: ``FAULTS_COMMANDS`` a fault (20,000), ``FAULTS_SEED`` (1). Arguments go to pytest: ``-k failover``.
"""

import os
import sys
from pathlib import Path

import pytest

from tests.faults.table import Lines, show

_LATEST = Path(".bench") / "faults.json"
_SECONDS_A_FAULT = 1800


def main() -> int:
    """Run the tests; return the exit status."""
    os.environ.setdefault("FAULTS_COMMANDS", "20000")
    lines = Lines(_LATEST)
    options = ["tests/faults", "-q", "-p", "no:randomly", f"--timeout={_SECONDS_A_FAULT}"]
    status = pytest.main([*options, *sys.argv[1:]], plugins=[lines])
    show(lines.figures)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
