from dataclasses import replace

import pytest

from tests.support.reports import part, report
from worker.console.known_workers import KnownWorkers
from worker.counters import End
from worker.reporting.report import Report, encode


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def known(clock: Clock) -> KnownWorkers:
    return KnownWorkers(clock)


def take(known: KnownWorkers, *reports: Report) -> None:
    for each in reports:
        known.take(encode(each))


def test_workers_are_listed_by_host_and_process(known: KnownWorkers) -> None:
    take(known, report("c", "beta"), report("b", "alpha", pid=9), report("a", "alpha", pid=8))
    assert [(row.report.worker, row.lives, row.figures) for row in known.rows()] == [
        ("a", True, None),
        ("b", True, None),
        ("c", True, None),
    ]


def test_figures_cover_the_last_ten_seconds(known: KnownWorkers, clock: Clock) -> None:
    for n in range(21):
        settled = {"received": 100 * n, "accepted": 90 * n, "rejected": 10 * n, "conflicts": 4 * n}
        # Earlier commands were slow.
        take(known, report(counters=settled, latency={10.0: 10 * min(n, 10), 0.01: 100 * max(n - 10, 0)}))
        clock.now += 2
    figures = known.figures()
    assert figures is not None
    assert (figures.received, figures.settled, figures.conflicts) == (50, 50, 2)
    assert (figures.ends[End.ACCEPTED], figures.ends[End.REJECTED]) == (45, 5)
    assert figures.p50 == pytest.approx(0.00875)
    assert figures.p99 == pytest.approx(0.009975)


def test_latencies_of_workers_with_different_buckets_are_added(known: KnownWorkers, clock: Clock) -> None:
    for n in (0, 1):
        take(known, report("a", counters={"accepted": 20 * n}, latency={0.1: 20 * n}))
        take(known, replace(report("b", counters={"accepted": 40 * n}), bounds=(0.25,), latency=(40 * n, 0)))
        clock.now += 2
    figures = known.figures()
    assert figures is not None
    assert figures.ends[End.ACCEPTED] == 30
    assert figures.p50 == pytest.approx(0.2125)


def test_a_silent_worker_is_lost_after_seconds_and_removed_after_minutes(known: KnownWorkers, clock: Clock) -> None:
    take(known, report("killed", counters={"accepted": 1}), report("lives"))
    for _ in range(3):
        clock.now += 2
        take(known, report("lives"))
    assert [row.is_gone for row in known.rows()] == [False, False]
    clock.now += 2
    take(known, report("lives"))
    killed, lives = known.rows()
    assert (killed.is_gone, killed.lives, killed.silent, killed.figures) == (True, False, 8, None)
    assert (lives.is_gone, lives.lives) == (False, True)
    clock.now += 600
    take(known, report("lives"))
    assert [row.report.worker for row in known.rows()] == ["lives"]


def test_a_worker_that_sent_its_last_report_is_stopped_and_not_lost(known: KnownWorkers, clock: Clock) -> None:
    take(known, report("w"), report("w", ended=True, ready=False, state="stopped"))
    clock.now += 60
    (row,) = known.rows()
    assert (row.is_gone, row.lives, known.figures(), known.domains()) == (False, False, None, {})


def test_a_returning_worker_is_live_again(known: KnownWorkers, clock: Clock) -> None:
    take(known, report("w"))
    clock.now += 60
    assert [row.is_gone for row in known.rows()] == [True]
    take(known, report("w"))
    assert [row.is_gone for row in known.rows()] == [False]


def test_the_hottest_parts_are_summed_over_workers(known: KnownWorkers, clock: Clock) -> None:
    take(known, report("a", parts=[part("old")]))
    clock.now += 30
    for _ in range(2):
        take(known, report("a", parts=[part("b1", commands=20, conflicts=4), part("b2", commands=30)]))
        take(known, report("b", parts=[part("b1", commands=10)]))
        clock.now += 2
    hottest = known.hottest()
    assert [(row.part.key, row.commands, row.conflicts, row.workers) for row in hottest] == [
        ("b1", 15, 2, 2),
        ("b2", 15, 0, 1),
    ]


def test_the_history_covers_two_minutes(known: KnownWorkers, clock: Clock) -> None:
    for n in range(100):
        take(known, report(counters={"received": 10 * n, "accepted": 8 * n, "rejected": 2 * n, "conflicts": n}))
        clock.now += 2
    course = known.throughput()
    assert (len(course.settled), set(course.settled), set(course.conflicts)) == (60, {5.0}, {0.5})
    clock.now += 40
    assert known.throughput().settled[-20:] == (0.0,) * 20


def test_invalid_reports_are_counted(known: KnownWorkers) -> None:
    known.take(b"hello")
    assert (known.refused, known.rows()) == (1, [])


def test_decreasing_counters_count_as_no_work(known: KnownWorkers, clock: Clock) -> None:
    take(known, report(counters={"accepted": 10}, latency={0.1: 10}))
    clock.now += 2
    take(known, report(counters={"accepted": 5}))
    figures = known.figures()
    assert figures is not None
    assert (figures.settled, figures.p50) == (0, None)


def test_the_number_of_workers_is_bounded(known: KnownWorkers, clock: Clock) -> None:
    for n in range(2010):
        clock.now += 0.001
        take(known, report(f"w{n}"))
    assert len(known.rows()) <= 2001
