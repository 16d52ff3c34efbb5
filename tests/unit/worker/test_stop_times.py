"""The deadlines for the drain and the end of a stopping worker."""

import asyncio

import pytest

from worker.supervision import stop_times
from worker.supervision.stop_times import END_SECONDS, StopTimes
from worker.supervision.supervisor import RestartLimits

SLACK = 1.0


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_only_the_first_stop_request_sets_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_times, "_now", iter((100.0, 101.0)).__next__)
    times = StopTimes(drain=30)
    assert (times.begin(), times.begin()) == (130, 130)


async def test_the_deadline_of_the_end_follows_the_drains() -> None:
    times = StopTimes(drain=30)
    times.begin()
    assert times.left(600) == pytest.approx(30 + END_SECONDS, abs=SLACK)
    assert times.left(5) == 5


async def test_a_hurry_ends_the_drain_and_keeps_the_time_for_the_end() -> None:
    times = StopTimes(drain=600)
    times.begin()
    times.hurry()
    assert times.begin() <= now()
    assert times.left(600) == pytest.approx(END_SECONDS, abs=SLACK)


async def test_a_hurry_after_the_drain_does_not_extend_the_deadline() -> None:
    times = StopTimes(drain=-END_SECONDS)
    times.begin()
    times.hurry()
    assert times.left() == 0


async def test_a_worker_that_ends_by_itself_has_the_time_for_the_end() -> None:
    assert StopTimes(drain=30).left(600) == pytest.approx(END_SECONDS, abs=SLACK)


def test_a_supervisor_waits_longer_than_its_processes_deadlines() -> None:
    assert RestartLimits().end > END_SECONDS
