"""The summary of a run: computed from example figures, valid against the schema, and readable again."""

import json
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator

from tests.support.summary import PROMISED
from tests.unit.load.runs import FIGURES, empty, plan, summary, tally, verdict
from worker.load.comparison import comparison, differences
from worker.load.fleet import Drain
from worker.load.runner import Pace
from worker.load.series import Series
from worker.load.session import RunResult
from worker.load.summary import Latency, Summary, Unluckiest


def test_figures_match_the_run() -> None:
    made = summary()
    assert (made.domain, made.scenario, made.seed) == ("library", "hot-book", 3)
    assert made.parameters == {"readers": 7, "wishes": 500, "kept": 10}
    assert (made.load, made.in_flight, made.rate_per_s, made.workers) == ("closed", 8, None, 2)
    assert (made.commands, made.messages, made.copies, made.duplicates) == (100, 110, 10, 10)
    assert made.outcomes == {"accepted": 60, "rejected": 40}
    assert (made.seconds, made.throughput_per_s) == (10.0, 10.0)
    assert made.latency_ms == Latency(p50=50.0, p95=95.0, p99=99.0, max=100.0)
    assert made.p99_over_p50 == pytest.approx(1.98)
    assert made.unluckiest == Unluckiest(command_id=UUID(int=100), command_type="Count", latency_ms=100.0, attempts=4)
    assert made.conflicts == 8 * 1 + 2 * 3
    assert (made.attempts.mean, made.attempts.max) == (1.14, 4)
    assert made.wasted_decisions == 14 + 10
    assert (made.stale_conflicts, made.dead_letters, made.replica_read_share) == (8, 0, 0.75)
    assert made.cpu_us_per_command == 2500.0
    assert (made.violations, made.oracle_checked) == (0, 100)


def test_figures_over_time() -> None:
    series = summary().series
    assert series.interval_s == 0.1
    assert len(series.commands_per_s) == len(series.conflicts_per_s) == len(series.p99_ms) == 100
    assert series.commands_per_s == pytest.approx([10.0] * 100)
    # Command n was answered in interval n.
    expected = [10.0 if 10 <= index < 18 else 30.0 if index >= 98 else 0.0 for index in range(100)]
    assert series.conflicts_per_s == pytest.approx(expected)
    assert series.p50_ms[41] == pytest.approx(42.0)


@pytest.mark.parametrize(("rest", "intervals"), [(0.004, 10), (0.08, 11)])
def test_a_short_last_interval_is_merged_with_the_one_before(rest: float, intervals: int) -> None:
    """Otherwise the curve would end with a drop or peak that does not exist."""
    made = tally(10)
    assert made.began is not None
    made.ended = made.began + 1.0 + rest
    if intervals > 10:
        made.moments[-1] = 1.0 + rest
    series = Series.of(made, {})
    assert len(series.commands_per_s) == intervals
    assert series.commands_per_s[-1] == pytest.approx(1 / (0.1 + rest) if intervals == 10 else 1 / rest)


def test_latency_buckets_are_contiguous() -> None:
    bins = summary().latency_histogram
    assert sum(each.commands for each in bins) == 100
    assert all(one.to_ms == other.from_ms for one, other in pairwise(bins))
    for each in bins:
        expected = sum(each.from_ms < number <= each.to_ms + 1e-9 for number in range(1, 101))
        assert each.commands == pytest.approx(expected, abs=1)  # an edge is rounded


def test_unmeasured_figures_are_null() -> None:
    made = empty()
    for name in (
        "workers",
        "in_flight",
        "latency_ms",
        "p99_over_p50",
        "unluckiest",
        "stale_conflicts",
        "dead_letters",
        "replica_read_share",
        "cpu_us_per_command",
    ):
        assert getattr(made, name) is None, name
    assert (made.load, made.rate_per_s, made.unanswered) == ("open", 10.0, 5)
    assert made.series.p99_ms == [None] * len(made.series.commands_per_s)


def test_counters_of_killed_workers_are_not_estimated() -> None:
    drain = Drain(name="worker-2", status=0, figures=FIGURES, log=Path("worker-2.log"))
    ran = RunResult(tally=tally(), drains=[drain], killed=1, cpu={"workers": -0.5, "RabbitMQ": 0.5})
    made = Summary.of(plan(), ran, verdict())
    assert (made.workers_killed, made.replica_read_share, made.cpu_us_per_command) == (1, None, None)
    assert made.cpu_seconds == {"RabbitMQ": 0.5}


@pytest.mark.parametrize("survivors", [0, 1])
def test_counters_of_a_worker_without_a_report_are_not_estimated(survivors: int) -> None:
    """Nor do the other workers' counters count as the total."""
    drains = [
        Drain(name="worker-1", status=0, figures=FIGURES, log=Path("worker-1.log")),
        Drain(name="worker-2", status=-9, figures={}, log=Path("worker-2.log")),
    ]
    ran = RunResult(tally=tally(), drains=drains[1 - survivors :], cpu={"workers": 0.25, "RabbitMQ": 0.5})
    made = Summary.of(plan(), ran, verdict())
    assert (made.stale_conflicts, made.dead_letters, made.replica_read_share) == (None, None, None)
    assert made.cpu_us_per_command is None
    assert made.cpu_seconds == {"RabbitMQ": 0.5}


def test_counters_of_several_workers_are_added() -> None:
    drains = [Drain(name=name, status=0, figures=FIGURES, log=Path(name)) for name in ("worker-1", "worker-2")]
    made = Summary.of(plan(), RunResult(tally=tally(), drains=drains), verdict())
    assert (made.stale_conflicts, made.dead_letters, made.replica_read_share) == (16, 0, 0.75)


@pytest.mark.parametrize("made", [summary(), summary(violations=30), empty()], ids=["clean", "wrong", "empty"])
def test_the_json_is_valid_against_its_schema_and_can_be_read(made: Summary) -> None:
    text = made.model_dump_json()
    document = json.loads(text)
    schema = Summary.model_json_schema(mode="serialization")
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(document)
    assert document.keys() >= PROMISED
    assert Summary.model_validate_json(text) == made


def test_all_violations_are_counted_and_the_first_ones_listed() -> None:
    made = summary(violations=30)
    assert (made.violations, len(made.violation_details)) == (30, 20)
    assert "Count" in made.violation_details[0].evidence[0]


def test_runs_are_compared_figure_by_figure() -> None:
    rows = {row.name: row for row in comparison(summary(), empty())}
    assert (rows["throughput"].first, rows["throughput"].second, rows["throughput"].change) == (10.0, 0.0, -1.0)
    assert (rows["latency p50"].first, rows["latency p50"].second, rows["latency p50"].change) == (50.0, None, None)
    assert rows["conflicts"].first == 0.14
    # There is no ratio to zero.
    assert rows["violations"].change is None
    assert all(row.change in (0.0, None) for row in comparison(summary(), summary()))


def test_differences_between_the_runs_settings_are_reported() -> None:
    assert differences(summary(), summary()) == []
    other = Summary.of(plan(workers=4, pace=Pace(rate=5.0)), RunResult(tally=tally()), verdict())
    assert differences(summary(), other) == [
        "load: closed and open",
        "in flight: 8 and none",
        "rate per s: none and 5",
        "workers: 2 and 4",
    ]
