"""What makes a demo fail beyond what the log says."""

from array import array
from pathlib import Path

import pytest

from deploy.local.demo import Ran, _complaints
from worker.load.fleet import Drain
from worker.load.tally import Tally


def ran(*, status: int = 0, total: int = 3, unanswered: int = 0, **figures: int) -> Ran:
    """Three commands and one copy, all settled by one worker; with what is named otherwise."""
    settled = {
        "received": 4,
        "accepted": 2,
        "rejected": 0,
        "unchanged": 1,
        "duplicate": 1,
        "dead_lettered": 0,
    } | figures
    tally = Tally(total=total, messages=4, copies=1, unanswered=unanswered, latencies=array("d", [0.1] * 3))
    drain = Drain(name="worker-1", status=status, figures=settled, log=Path("worker-1.log"))
    return Ran(tally=tally, drains=[drain], cpu={})


def test_a_run_that_adds_up_has_no_complaint() -> None:
    assert _complaints(ran()) == []


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (ran(status=1), "worker-1 ended with status 1, not after a drain; see worker-1.log"),
        (ran(received=5), "worker-1 received 5 deliveries, but accounts for 4"),
        (ran(received=3, unchanged=0), "4 messages were sent, but the workers settled 3"),
        (ran(unanswered=1), "1 messages were not answered in time"),
        (ran(total=4), "4 commands were to be sent, but only 3 were answered"),
    ],
)
def test_each_thing_that_does_not_add_up_is_a_complaint(wrong: Ran, complaint: str) -> None:
    assert _complaints(wrong) == [complaint]
