"""``worker db archive`` and ``worker db restore-archive``."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from eventstore.counted import counted
from eventstore.postgres import ArchiveReport, RestoreReport
from eventstore.postgres import archive as move_out
from eventstore.postgres import restore_archive as put_back
from worker.chosen_stores import chosen_one
from worker.cli.bulk_progress import bulk_progress, told_to_go_on
from worker.cli.consent import agreed
from worker.cli.loop import run_async
from worker.cli.options import Json, LogOption, Yes
from worker.cli.terminal import print_json, tell
from worker.failures import Mistake
from worker.settings import Settings
from worker.stores import StoreSettings

__all__ = ["archive", "restore_archive"]

_NUMBER = re.compile(r"[0-9][0-9_,]{0,24}")
# As the store refuses it, which no longer knows how it was written: a path keeps one slash of ``s3://``.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_DIGITS_OF_DATE = re.compile(r"[0-9]{8}")


def archive(
    before: Annotated[
        str,
        typer.Option(metavar="NUMBER|DATE", help="Only partitions that end below this number, or before this time."),
    ],
    to: Annotated[
        str, typer.Option(metavar="DIRECTORY", help="The folder to write the files to; made if it is missing.")
    ],
    *,
    domain: LogOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be moved.")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Move whole old partitions of the log in the database of DATABASE_ADMIN_URL into Parquet files, after asking.

    Each is written, read back and compared before it is dropped, while workers run. Commands and reads that do not need
    its events continue; others fail with an error that names the archived events, and never give a wrong answer. The
    command can be stopped at any time: run again, it continues where it stopped. Exit status 1 when the answer was no.
    """
    store = chosen_one(Settings.load(needs=("database_admin_url",)), domain, by="database_admin_url")
    bound, directory = _bound(before), _directory(to)
    with told_to_go_on(store, "Ranges that were moved stay moved"):
        report = run_async(
            move_out(store.database_admin_url, before=bound, to=directory, schema=store.database_schema, dry_run=True)
        )
        wanted = bool(report.ranges) and not dry_run and (yes or _agreed(report, directory))
        if wanted:
            report = _archive(store, bound, directory)
    if json:
        print_json(_document(report, directory, dry_run=dry_run))
    else:
        tell(_told(report, directory, wanted=wanted, dry_run=dry_run))
    if report.ranges and not wanted and not dry_run:
        raise typer.Exit(1)


def restore_archive(
    directory: Annotated[str, typer.Argument(metavar="DIRECTORY", help="The folder that they were archived to.")],
    *,
    domain: LogOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be restored.")] = False,
    json: Json = False,
) -> None:
    """Put archived events back into the log in the database of DATABASE_ADMIN_URL, while workers run.

    The last archived partition comes back first. Each file is checked against its manifest and the database before any
    change, and the restored events against the file afterwards. The files stay.
    """
    store = chosen_one(Settings.load(needs=("database_admin_url",)), domain, by="database_admin_url")
    folder = Path(directory)
    if not folder.is_dir():
        raise Mistake(f"{directory} is not a directory: name the one that the events were archived to.")
    with told_to_go_on(store, "Ranges that were restored stay restored"), bulk_progress("restoring") as progress:
        report = run_async(
            put_back(store.database_admin_url, folder, schema=store.database_schema, dry_run=dry_run, progress=progress)
        )
    if json:
        print_json(
            {"ranges": _ranges(report), "events": report.events, "left_up_to": report.left, "dry_run": report.dry_run}
        )
    else:
        tell(_told_back(report))


def _bound(text: str) -> int | datetime:
    if _DIGITS_OF_DATE.fullmatch(text) and (date := _date_of(text)) is not None:
        raise Mistake(f"--before {text} may be a number or a date: write {int(text):,}, or {date:%Y-%m-%d}.")
    if _NUMBER.fullmatch(text):
        return int(re.sub("[_,]", "", text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Mistake(
            f"--before {text!r} is neither the number of an event nor a date: write 12000000, or 2025-01-01."
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _directory(text: str) -> Path:
    if not text:  # as of a variable that is not set: the current folder is seldom what is meant
        raise Mistake("--to is empty: name the directory to write the files to.")
    if _ADDRESS.match(text):
        raise Mistake(
            f"--to {text} looks like an address, and would be a directory of this machine: archive to a directory with "
            "another name, and copy its files from there."
        )
    return Path(text)


def _date_of(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _archive(store: StoreSettings, before: int | datetime, to: Path) -> ArchiveReport:
    with bulk_progress("archiving") as progress:
        return run_async(
            move_out(store.database_admin_url, before=before, to=to, schema=store.database_schema, progress=progress)
        )


def _agreed(report: ArchiveReport, to: Path) -> bool:
    return agreed(
        f"{_described(report)} will be moved to {to}. Until they are restored, reads that may need them fail, and "
        "commands that do become dead letters.",
        "Move them?",
        action="events are moved out",
        look="to see which",
    )


def _told(report: ArchiveReport, to: Path, *, wanted: bool, dry_run: bool) -> str:
    kept = f" {report.kept[0].upper()}{report.kept[1:]}." if report.kept else ""
    if not report.ranges:
        return f"There is nothing to move.{kept}"
    if dry_run:
        return f"{_described(report)} would be moved to {to}.{kept}"
    if not wanted:
        return "Nothing was moved."
    return (
        f"Moved {_described(report)} to {to}: keep the files, and copies of them elsewhere; "
        f"`worker db restore-archive {to}` brings the events back.{kept}"
    )


def _told_back(report: RestoreReport) -> str:
    verb = "Would restore" if report.dry_run else "Restored"
    left = f" Events 1 to {report.left:,} are still archived." if report.left else " The log is whole."
    return f"{verb} {_described(report)}.{'' if report.dry_run and not report.left else left}"


def _described(report: ArchiveReport | RestoreReport) -> str:
    numbers = [number for each in report.ranges for number in each]
    return f"{counted(report.events, 'event')}, {min(numbers):,} to {max(numbers):,}, of {_partitions(report)}"


def _partitions(report: ArchiveReport | RestoreReport) -> str:
    return counted(len(report.ranges), "partition")


def _document(report: ArchiveReport, to: Path, *, dry_run: bool) -> dict[str, Any]:
    return {
        "ranges": _ranges(report),
        "events": report.events,
        "directory": str(to),
        "files": [str(path) for path in report.files],
        "kept": report.kept,
        "dry_run": dry_run,
    }


def _ranges(report: ArchiveReport | RestoreReport) -> list[dict[str, int]]:
    return [{"first": first, "last": last} for first, last in report.ranges]
