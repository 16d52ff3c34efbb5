"""``worker db migrate`` reports which of the two steps was done, and which is pending."""

import json
import sys
from collections.abc import Callable

import pytest

from eventstore import StoreMisconfigured
from eventstore.postgres import Migration, MigrationReport
from worker.cli import migrate as _  # noqa: F401  imports the module, which has the command's name
from worker.cli.main import main
from worker.settings import Settings

module = sys.modules["worker.cli.migrate"]

STEP = Migration(version=3, name="append_v2", sql="", finishing="")
Migrate = Callable[..., tuple[int, str, str]]


@pytest.fixture
def migrate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Migrate:
    """Runs the command with a given result of the migration; returns its status and output."""
    for name in Settings.described():
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATABASE_ADMIN_URL", "postgresql://db/events")
    monkeypatch.setattr(sys, "path", sys.path.copy())

    def run(*arguments: str, told: MigrationReport | Exception) -> tuple[int, str, str]:
        async def apply(
            _url: str, *, schema: str, finish: bool, partition_size: int | None, dry_run: bool
        ) -> MigrationReport:
            assert schema == "eventstore"
            assert partition_size == (1_000_000 if "--partition-size" in arguments else None)
            assert finish == ("--finish" in arguments)
            assert dry_run == ("--dry-run" in arguments)
            if isinstance(told, Exception):
                raise told
            return told

        monkeypatch.setattr(module, "apply", apply)
        monkeypatch.setattr(sys, "argv", ["worker", "db", "migrate", *arguments])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_a_new_database_is_completed_silently(migrate: Migrate) -> None:
    told = MigrationReport(before=0, after=3, applied=(STEP,), finished=(STEP,), dry_run=False)
    assert migrate(told=told)[:2] == (0, "Applied 0003 append_v2: schema version 0 → 3.\n")


def test_the_pending_step_is_reported(migrate: Migrate) -> None:
    told = MigrationReport(before=2, after=3, applied=(STEP,), unfinished=(STEP,), dry_run=False)
    out = migrate(told=told)[1]
    assert out.splitlines()[1] == (
        "Older builds can still work beside this one. When none is left, run `worker db migrate --finish`."
    )


def test_the_second_step_is_reported(migrate: Migrate) -> None:
    told = MigrationReport(before=3, after=3, applied=(), finished=(STEP,), dry_run=False)
    assert migrate("--finish", told=told)[1] == "Finished 0003 append_v2: older builds cannot append any more.\n"
    told = MigrationReport(before=3, after=3, applied=(), finished=(STEP,), dry_run=True)
    assert migrate("--finish", "--dry-run", told=told)[1].startswith("Would finish 0003 append_v2: ")
    assert json.loads(migrate("--finish", "--dry-run", "--json", told=told)[1]) == {
        "before": 3,
        "after": 3,
        "applied": [],
        "finished": ["0003 append_v2"],
        "unfinished": [],
        "repaired": [],
        "partitioned": False,
        "dry_run": True,
    }


def test_created_partitions_are_reported(migrate: Migrate) -> None:
    told = MigrationReport(before=3, after=3, applied=(), partitioned=True, dry_run=False)
    (line,) = migrate("--partition-size", "1000000", told=told)[1].splitlines()
    assert line == "Keeps the log in partitions, further ones of the size asked for."
    told = MigrationReport(before=3, after=3, applied=(), partitioned=True, dry_run=True)
    assert migrate("--partition-size", "1000000", "--dry-run", told=told)[1].startswith("Would keep the log in part")


def test_restored_settings_are_reported(migrate: Migrate) -> None:
    told = MigrationReport(before=3, after=3, applied=(), repaired=("the trigger x", "the head"), dry_run=False)
    assert migrate(told=told)[1] == "Set again, as after a restore: the trigger x; the head.\n"
    told = MigrationReport(before=3, after=3, applied=(), repaired=("the trigger x",), dry_run=True)
    assert migrate("--dry-run", told=told)[1] == "Would set again, as after a restore: the trigger x.\n"


def test_nothing_to_do_is_reported(migrate: Migrate) -> None:
    told = MigrationReport(before=3, after=3, applied=(), dry_run=False)
    assert migrate("--finish", told=told)[1] == "The schema has version 3; there is nothing to apply.\n"


def test_a_refusal_is_one_sentence(migrate: Migrate) -> None:
    status, _out, err = migrate(
        "--finish", told=StoreMisconfigured("an older build may still be at work: worker; stop it")
    )
    assert (status, err.count("\n")) == (2, 1)
    assert "an older build may still be at work: worker; stop it" in err
