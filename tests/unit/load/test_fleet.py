"""How a worker process ended is told from its last report, and that it can be told is seen to."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.counters import Counters, End
from worker.load.fleet import Drain, Fleet

GOOD = {"received": 5, "accepted": 3, "duplicate": 1, "returned": 1, "in_flight": 0, "conflicts": 9}

# Run in place of a worker: says that it consumes and what its settings are; and, told to stop, says what it is to say.
STAND_IN = """
import json, os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
tell = lambda message, **more: print(json.dumps({"message": message, **more}), flush=True)
settings = {name: value for name, value in os.environ.items() if name.lower().startswith("worker_")}
tell("consuming library.commands", settings=settings)
signal.sigwait({signal.SIGTERM})
tell("draining")
if "LAST_WORDS" in os.environ:
    tell(os.environ["LAST_WORDS"])
    os._exit(int(os.environ["STATUS"]))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``python -m worker`` is the stand-in."""
    package = tmp_path / "worker"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STAND_IN)
    # The current folder would come first.
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}


def drain(status: int = 0, **figures: int) -> Drain:
    return Drain(name="worker-1", status=status, figures=figures, log=Path("worker-1.log"))


def test_a_complete_drain_has_no_complaint() -> None:
    assert drain(**GOOD).complaint() is None


@pytest.mark.parametrize("status", [1, -9])
def test_another_status_is_a_complaint(status: int) -> None:
    assert (
        drain(status, **GOOD).complaint() == f"worker-1 ended with status {status}, not after a drain; see worker-1.log"
    )


def test_no_report_is_a_complaint() -> None:
    assert drain().complaint() is not None


def test_an_unaccounted_delivery_is_a_complaint() -> None:
    assert drain(**GOOD | {"received": 6}).complaint() == "worker-1 received 6 deliveries, but accounts for 5"


def test_what_is_counted_besides_deliveries_accounts_for_none() -> None:
    counters = Counters()
    counters.begin()
    counters.end(End.ACCEPTED)
    report = counters.report()
    besides = set(report) - {"received", "in_flight", *End}
    assert drain(**report | dict.fromkeys(besides, 7)).complaint() is None


@pytest.mark.parametrize(
    ("words", "status", "figures"),
    [
        ("drained: received 5, accepted 5, in_flight 0", 0, {"received": 5, "accepted": 5, "in_flight": 0}),
        (
            "stopped before everything had finished: received 5, accepted 4, in_flight 1",
            1,
            {"received": 5, "accepted": 4, "in_flight": 1},
        ),
        (None, -9, {}),
    ],
)
async def test_what_a_worker_has_counted_is_read_however_it_ended(
    stand_in: dict[str, str], tmp_path: Path, words: str | None, status: int, figures: dict[str, int]
) -> None:
    said = {} if words is None else {"LAST_WORDS": words, "STATUS": str(status)}
    async with Fleet.running(1, stand_in | said, tmp_path) as fleet:
        (ended,) = await fleet.drain()
    assert (ended.name, ended.status, ended.figures) == ("worker-1", status, figures)


@pytest.mark.parametrize("spelt", [str.upper, str.lower])
async def test_workers_log_as_the_fleet_reads_and_leave_the_one_port_alone(
    stand_in: dict[str, str], tmp_path: Path, spelt: Callable[[str], str]
) -> None:
    unfit = {"WORKER_LOG_LEVEL": "error", "WORKER_LOG_FORMAT": "human", "WORKER_HEALTH_PORT": "8080"}
    settings = {spelt(name): value for name, value in unfit.items()} | {"WORKER_CONCURRENCY": "3"}
    async with Fleet.running(1, stand_in | settings, tmp_path):
        line = json.loads((tmp_path / "worker-1.log").read_text())
    assert line["settings"] == {
        "WORKER_LOG_LEVEL": "info",
        "WORKER_LOG_FORMAT": "json",
        "WORKER_CONCURRENCY": "3",
    }
