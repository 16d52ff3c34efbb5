"""The complaints of a run besides the oracle's violations."""

from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.domains.tally import Count
from worker.load.fleet import Drain
from worker.load.session import RunResult
from worker.load.tally import Tally
from worker.message import Reply


def ran(*, status: int = 0, total: int = 3, unanswered: int = 0, killed: int = 0, **figures: int) -> RunResult:
    """A run of three commands and one copy, all settled by one worker, with the given differences."""
    settled = {
        "received": 4,
        "accepted": 2,
        "rejected": 0,
        "unchanged": 1,
        "duplicate": 1,
        "dead_lettered": 0,
    } | figures
    tally = Tally(total=total, messages=4, copies=1, unanswered=unanswered, answers=[uuid4() for _ in range(3)])
    drain = Drain(name="worker-1", status=status, figures=settled, log=Path("worker-1.log"))
    return RunResult(tally=tally, drains=[drain], killed=killed)


def test_a_consistent_run_has_no_complaint() -> None:
    assert ran().complaints() == []


def test_settlements_of_killed_workers_are_not_required() -> None:
    assert ran(received=3, unchanged=0, killed=1).complaints() == []


def test_settlements_of_a_worker_without_a_report_are_not_required() -> None:
    one = ran(received=3, unchanged=0)
    silent = Drain(name="worker-2", status=-9, figures={}, log=Path("worker-2.log"))
    assert RunResult(tally=one.tally, drains=[*one.drains, silent]).complaints() == [
        "worker-2 ended with status -9, not after a drain; see worker-2.log"
    ]


def test_a_message_may_be_settled_again() -> None:
    """After it was sent again over a new connection, or delivered again because its acknowledgement was lost."""
    assert ran(received=6, duplicate=3).complaints() == []


def test_a_worker_that_ended_before_it_was_killed_is_a_complaint() -> None:
    ended = RunResult(tally=Tally(), killed=1, departed={"worker-2": 1})
    assert ended.complaints() == ["worker-2 ended by itself, with status 1"]


def test_a_run_without_its_own_workers_requires_no_deliveries() -> None:
    assert RunResult(tally=Tally(messages=4)).complaints() == []


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (ran(status=1), "worker-1 ended with status 1, not after a drain; see worker-1.log"),
        (ran(received=5), "worker-1 received 5 deliveries, but accounts for 4"),
        (ran(received=3, unchanged=0), "4 messages were sent, but the workers settled 3"),
        (ran(unanswered=1), "1 message was not answered in time"),
        (ran(total=4), "4 commands were to be sent, but only 3 had an answer"),
    ],
)
def test_each_inconsistency_is_a_complaint(wrong: RunResult, complaint: str) -> None:
    assert wrong.complaints() == [complaint]


def test_rejected_set_up_commands_are_counted() -> None:
    ids = [uuid4() for _ in range(5)]
    tally = Tally(commands={key: Count(key="a") for key in ids}, setup=set(ids[:4]))
    replies = (
        Reply(command_id=ids[0], outcome="rejected", reason="limit reached"),
        Reply(command_id=ids[1], outcome="rejected", reason="limit reached"),
        Reply(command_id=ids[2], outcome="failed", reason="not_json"),
        Reply(command_id=ids[3], outcome="accepted"),
        Reply(command_id=ids[4], outcome="rejected", reason="of the load"),
    )
    tally.replies.update({key: [reply] for key, reply in zip(ids, replies, strict=True)})
    assert tally.refusals == {("Count", "rejected", "limit reached"): 2, ("Count", "failed", "not_json"): 1}
