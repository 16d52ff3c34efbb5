"""The output of ``worker load run``: figures are never lost, and logs are kept if they can explain something.

The load itself is replaced by a given result.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from dynamic_streams_worker import main
from eventstore import StoreUnavailable
from tests.unit.load.runs import summary
from worker.cli import load_run
from worker.load.outage import PlannedOutage
from worker.load.session import Plan
from worker.load.summary import Summary
from worker.settings import Settings

End = Callable[[], Summary]


class RunResult(SimpleNamespace):
    status: int
    out: str
    err: str


class Command:
    """``worker load run hot-book`` in its own folder, which also has the temporary files."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder = folder
        self.plan: Plan | None = None
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, end: End, *arguments: str, workers: int = 2, scenario: str = "hot-book") -> RunResult:
        """Run it with this end of the load; its workers have written logs."""

        async def consumers(*_: object, **__: object) -> int:
            return 2

        async def performed(plan: Plan, *_: object) -> Summary:
            self.plan = plan
            if plan.started is not None:
                (plan.started.folder / "worker-1.log").write_text("consuming\n")
            return end()

        self._monkeypatch.setattr(load_run, "_consumers", consumers)
        self._monkeypatch.setattr(load_run, "_performed", performed)
        started = ("--start-workers", str(workers))
        self._monkeypatch.setattr(sys, "argv", ["worker", "load", "run", scenario, *started, *arguments])
        with pytest.raises(SystemExit) as raised:
            main()
        printed = self._capsys.readouterr()
        return RunResult(status=raised.value.code, out=printed.out, err=printed.err)

    @property
    def kept(self) -> list[str]:
        """The log folders that were kept."""
        return [str(path) for path in self.folder.glob("worker-load-*")]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    for name in Settings.described():
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("AMQP_URL", "amqp://mq/work")
    monkeypatch.setenv("WORKER_DOMAINS", "handlers.library:domain")
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/events")
    for signal in ("TRACES", "METRICS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return Command(capsys, monkeypatch, tmp_path)


def lost() -> Summary:
    raise StoreUnavailable("PostgreSQL cannot be reached")


def interrupted() -> Summary:
    raise KeyboardInterrupt


def test_a_clean_run_leaves_its_files_and_no_log(command: Command) -> None:
    file, report = command.folder / "a.json", command.folder / "a.html"
    made = summary()
    end = command(lambda: made, "--json", str(file), "--report", str(report))
    assert (end.status, end.err) == (0, "")
    assert "verdict: clean" in end.out
    assert Summary.model_validate_json(file.read_text()) == made
    assert "<html" in report.read_text()
    assert command.kept == []


def test_a_run_that_fails_leaves_the_files_as_they_were(command: Command) -> None:
    file, report = command.folder / "a.json", command.folder / "a.html"
    file.write_text("of the run before")
    end = command(lost, "--json", str(file), "--report", str(report))
    assert end.status == 2
    assert file.read_text() == "of the run before"
    assert not report.exists()


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_figures_that_cannot_be_saved_are_printed_and_the_other_file_is_saved(command: Command, option: str) -> None:
    """Even if the failure could not be detected beforehand."""
    gone, other = command.folder / "gone", command.folder / "other"
    gone.mkdir()

    def remove() -> Summary:
        gone.rmdir()
        return summary()

    end = command(remove, option, str(gone / "a"), "--report" if option == "--json" else "--json", str(other))
    assert (end.status, end.err) == (2, f"worker: {gone / 'a'} cannot be written: No such file or directory.\n")
    assert "verdict: clean" in end.out
    assert other.stat().st_size > 0


def test_figures_that_cannot_be_printed_are_saved(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example if standard output is a pipe to a program that has ended."""

    def broken(_: Summary) -> None:
        raise SystemExit(1)

    monkeypatch.setattr(load_run, "drawn", broken)
    file, made = command.folder / "a.json", summary()
    assert command(lambda: made, "--json", str(file)).status == 1
    assert Summary.model_validate_json(file.read_text()) == made


def test_logs_are_kept_with_a_violation(command: Command) -> None:
    end = command(lambda: summary(violations=1))
    assert (end.status, [end.err]) == (1, [f"The workers' logs are kept in {folder}.\n" for folder in command.kept])


def test_logs_are_kept_when_a_run_fails(command: Command) -> None:
    end = command(lost)
    assert end.status == 2
    (folder,) = command.kept
    assert end.err.startswith(f"The workers' logs are kept in {folder}.\nworker: PostgreSQL cannot be reached; ")


def test_logs_are_kept_when_a_run_fails_by_a_bug(command: Command) -> None:
    def wrong() -> Summary:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command(wrong)
    assert len(command.kept) == 1


@pytest.mark.parametrize(("end", "status"), [(lost, 2), (lambda: summary(violations=1), 1)])
def test_without_started_workers_no_log_is_mentioned(command: Command, end: End, status: int) -> None:
    ended = command(end, workers=0)
    assert ended.status == status
    assert "logs" not in ended.err
    assert command.kept == []


def test_an_interruption_leaves_no_log(command: Command) -> None:
    end = command(interrupted)
    assert end.status == 130
    assert command.kept == []


def test_a_scenario_of_two_domains_runs_with_both(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_DOMAINS", "handlers.library:domain,handlers.warehouse:domain")
    assert command(summary, scenario="two-domains").status == 0
    assert command.plan is not None
    assert [command.plan.domain.name, *(domain.name for domain in command.plan.beside)] == ["warehouse", "library"]


def test_a_scenario_of_two_domains_needs_both(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_DOMAINS", "handlers.warehouse:domain")
    end = command(summary, scenario="two-domains")
    assert (end.status, end.err) == (
        2,
        "worker: two-domains also has commands of library; add where that is to WORKER_DOMAINS, as module:attribute.\n",
    )


BOTH = "handlers.library:domain,handlers.warehouse:domain"
OWN = "postgresql://db/warehouse"


def test_the_warehouses_store_has_planned_outages(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_DOMAINS", BOTH)
    monkeypatch.setenv("DATABASE_URL_WAREHOUSE", OWN)
    end = command(summary, "--set", "up_seconds=3", scenario="two-domains")
    assert (end.status, end.err) == (0, "")
    assert command.plan is not None
    assert command.plan.started is not None
    assert command.plan.started.outage == PlannedOutage(domain="warehouse", url=OWN, replica_urls=(), up=3, down=2)
    assert command(summary, "--set", "down_seconds=0", scenario="two-domains").err == ""
    assert command.plan.started.outage is None


@pytest.mark.parametrize(
    ("own", "workers", "missing"),
    [
        ("", 2, "when warehouse has a store of its own: DATABASE_URL_WAREHOUSE"),
        ("postgresql://db/events", 2, "when warehouse has a store of its own: DATABASE_URL_WAREHOUSE"),
        (OWN, 0, "with --start-workers"),
    ],
)
def test_an_impossible_outage_is_reported(
    command: Command, monkeypatch: pytest.MonkeyPatch, own: str, workers: int, missing: str
) -> None:
    monkeypatch.setenv("WORKER_DOMAINS", BOTH)
    monkeypatch.setenv("DATABASE_URL_WAREHOUSE", own)
    end = command(summary, scenario="two-domains", workers=workers)
    assert (end.status, end.err) == (0, f"This run has no outages of the store: they are possible {missing}.\n")
