"""How a worker process ended is told from its last report."""

from pathlib import Path

import pytest

from worker.counters import Counters, End
from worker.load.fleet import Drain

GOOD = {"received": 5, "accepted": 3, "duplicate": 1, "returned": 1, "in_flight": 0, "conflicts": 9}


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
