"""The end of a worker process, known from its exit status and its last report."""

import json
import os
from pathlib import Path

import pytest

from worker.counters import Counters, End
from worker.load.fleet import Drain, Fleet, FleetError

GOOD = {"received": 5, "accepted": 3, "duplicate": 1, "returned": 1, "in_flight": 0, "conflicts": 9}

# Runs in place of a worker: reports that it consumes, prints its settings, and reports given figures on SIGTERM.
STAND_IN = """
import json, os, signal, socket, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
control_socket = socket.socket(fileno=int(sys.argv[sys.argv.index("--control-socket") + 1]))
report = lambda **what: control_socket.sendall(json.dumps(what).encode() + b"\\n")
settings = {name: value for name, value in os.environ.items() if name.startswith(("WORKER_", "OTEL_"))}
print(json.dumps(settings), flush=True)
if "REFUSAL" in os.environ:
    sys.exit(os.environ["REFUSAL"])
report(health={"live": True, "ready": False, "reason": "starting"})
report(health={"live": True, "ready": True, "reason": "consuming"})
signal.sigwait({signal.SIGTERM})
report(health={"live": True, "ready": False, "reason": "draining"})
if "FIGURES" in os.environ:
    report(figures=json.loads(os.environ["FIGURES"]))
    os._exit(int(os.environ["STATUS"]))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``python -m worker`` runs the stand-in."""
    package = tmp_path / "worker"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STAND_IN)
    # Otherwise the current folder would be first on the path.
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}


def drain(status: int = 0, **figures: int) -> Drain:
    return Drain(name="worker-1", status=status, figures=figures, log=Path("worker-1.log"))


def test_a_complete_drain_has_no_complaint() -> None:
    assert drain(**GOOD).complaint() is None


@pytest.mark.parametrize("status", [1, -9])
def test_a_nonzero_status_is_a_complaint(status: int) -> None:
    assert (
        drain(status, **GOOD).complaint() == f"worker-1 ended with status {status}, not after a drain; see worker-1.log"
    )


def test_a_missing_report_is_a_complaint() -> None:
    assert drain().complaint() is not None


def test_an_unaccounted_delivery_is_a_complaint() -> None:
    assert drain(**GOOD | {"received": 6}).complaint() == "worker-1 received 6 deliveries, but accounts for 5"


def test_other_counters_do_not_account_for_deliveries() -> None:
    counters = Counters()
    counters.begin()
    counters.end(End.ACCEPTED)
    report = counters.report()
    besides = set(report) - {"received", "in_flight", *End}
    assert drain(**report | dict.fromkeys(besides, 7)).complaint() is None


@pytest.mark.parametrize(
    ("status", "figures"),
    [
        (0, {"received": 5, "accepted": 5, "in_flight": 0}),
        (1, {"received": 5, "accepted": 4, "in_flight": 1}),
        (-9, {}),
    ],
)
async def test_a_workers_counters_are_known_after_every_kind_of_end(
    stand_in: dict[str, str], tmp_path: Path, status: int, figures: dict[str, int]
) -> None:
    told = {"FIGURES": json.dumps(figures), "STATUS": str(status)} if figures else {}
    async with Fleet.running(1, stand_in | told, tmp_path) as fleet:
        (ended,) = await fleet.drain()
    assert (ended.name, ended.status, ended.figures) == ("worker-1", status, figures)


async def test_workers_log_as_configured_and_have_distinct_names_in_traces(
    stand_in: dict[str, str], tmp_path: Path
) -> None:
    settings = {"WORKER_LOG_LEVEL": "error", "WORKER_LOG_FORMAT": "human", "OTEL_RESOURCE_ATTRIBUTES": "a=b"}
    async with Fleet.running(2, stand_in | settings, tmp_path):
        printed = [json.loads((tmp_path / f"worker-{number}.log").read_text()) for number in (1, 2)]
    assert printed == [
        settings | {"OTEL_RESOURCE_ATTRIBUTES": f"a=b,service.instance.id=worker-{number}"} for number in (1, 2)
    ]


async def test_a_worker_that_does_not_start_is_reported_with_its_message(
    stand_in: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(FleetError, match=r"worker-1 ended at once: (?s:.*)the database is not there"):
        async with Fleet.running(1, stand_in | {"REFUSAL": "the database is not there"}, tmp_path):
            pass


async def test_a_replaced_worker_is_killed_and_its_successor_consumes(stand_in: dict[str, str], tmp_path: Path) -> None:
    async with Fleet.running(1, stand_in, tmp_path) as fleet:
        before = fleet.pids
        await fleet.replace("worker-1")
        assert (fleet.names, fleet.killed, fleet.departed) == (["worker-2"], 1, {})
        assert not {*fleet.pids} & {*before}
