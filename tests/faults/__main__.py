"""``python -m tests.faults``: the long form of the fault tests; prints a table and writes ``.bench/faults.json``.

Environment: ``FAULTS_COMMANDS`` commands per fault (20,000), ``FAULTS_SEED`` (1). Arguments go to pytest:
``-k failover``; ``--driver psycopg`` for another PostgreSQL driver of workers and stores, which also runs all races of
the store on that driver, and the store's contract over a program's own pools and engines.
"""

import os
import sys
from pathlib import Path

import pytest

from tests.faults.table import Lines, show

_LATEST = Path(".bench") / "faults.json"
_SECONDS_A_FAULT = 1800
# Tests that `make test` runs on asyncpg only: races, and faults of connections and servers.
_BY_DRIVER = (
    "tests/contract",
    "tests/integration/eventstore/drivers",
    "tests/integration/worker/test_erasure.py",
    *(
        f"tests/integration/eventstore/test_{name}.py"
        for name in (
            *("races", "part_races", "batches", "connections", "ended_connections", "holds", "hold_servers"),
            *("neighbours", "replicas", "restart", "silence", "subscriptions", "synchronous", "failover"),
            *("partitions", "archiving", "erasure", "erasure_on_replicas", "stored_states", "positions"),
            *("interruptions", "sticky_connection", "silent_hosts", "turns", "walks"),
        )
    ),
)


def main() -> int:
    """Run the tests; return the exit status."""
    os.environ.setdefault("FAULTS_COMMANDS", "20000")
    lines = Lines(_LATEST)
    paths = ["tests/faults", *(_BY_DRIVER if any(each.startswith("--driver") for each in sys.argv) else ())]
    options = [*paths, "--pools", "-q", "-p", "no:randomly", f"--timeout={_SECONDS_A_FAULT}"]
    status = pytest.main([*options, *sys.argv[1:]], plugins=[lines])
    show(lines.figures)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
