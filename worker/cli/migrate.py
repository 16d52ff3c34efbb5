"""``worker db migrate``."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from eventstore.postgres import Migration, MigrationReport, migrate_reading
from eventstore.postgres import migrate as apply
from worker.chosen_stores import chosen
from worker.cli.administration import administering
from worker.cli.loop import run_async
from worker.cli.options import DomainOption, Json
from worker.cli.stores import document, in_turn
from worker.cli.terminal import print_json, tell
from worker.failures import Mistake
from worker.settings import Settings

__all__ = ["migrate"]


def migrate(
    *,
    finish: Annotated[
        bool,
        typer.Option(
            "--finish", help="Also remove what only older builds need. Refused while an older build is connected."
        ),
    ] = False,
    partition_size: Annotated[
        int | None,
        typer.Option(
            "--partition-size",
            help="Keep the log in partitions, each further one of this many events. By default the log stays as it is.",
        ),
    ] = None,
    projections: Annotated[
        bool,
        typer.Option("--projections", help="Only what projections need, where their tables are in another database."),
    ] = False,
    domain: DomainOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be applied.")] = False,
    json: Json = False,
) -> None:
    """Bring the database of DATABASE_ADMIN_URL to this program's schema version. Running it again changes nothing.

    Where domains have databases of their own, each is migrated, one after the other. Workers of an older build continue
    to work beside this one, until --finish removes what they need. With --partition-size the table of events becomes
    the first of many partitions, while workers run; after an interruption, run it again to continue.

    With --projections, DATABASE_ADMIN_URL names another database, in which projections can then have their tables. It
    gets no event store.
    """
    settings = Settings.load(needs=("database_admin_url",))
    if projections and (finish or partition_size is not None):
        raise Mistake("--finish and --partition-size are for the event store, and not for projections.")
    stores = chosen(settings, domain, by="database_admin_url")
    reports = []
    for store in stores:
        with in_turn(store, stores, silent=json), administering(store):
            url, schema = store.database_admin_url, store.database_schema
            if projections:
                doing = migrate_reading(url, schema=schema, dry_run=dry_run)
            else:
                doing = apply(url, schema=schema, finish=finish, partition_size=partition_size, dry_run=dry_run)
            report = run_async(doing)
            reports.append(report)
            if not json:
                _show(report)
    if json:
        print_json(document(stores, [_document(report) for report in reports]))


def _document(report: MigrationReport) -> dict[str, Any]:
    return {
        "before": report.before,
        "after": report.after,
        "applied": _names(report.applied),
        "finished": _names(report.finished),
        "unfinished": _names(report.unfinished),
        "repaired": list(report.repaired),
        "partitioned": report.partitioned,
        "dry_run": report.dry_run,
    }


def _show(report: MigrationReport) -> None:
    dry_run = report.dry_run
    if report.applied:
        verb = "Would apply" if dry_run else "Applied"
        tell(f"{verb} {', '.join(_names(report.applied))}: schema version {report.before} → {report.after}.")
    if report.finished and report.before:
        verb = "Would finish" if dry_run else "Finished"
        tell(f"{verb} {', '.join(_names(report.finished))}: older builds cannot append any more.")
    if report.repaired:
        verb = "Would set" if dry_run else "Set"
        tell(f"{verb} again, as after a restore: {'; '.join(report.repaired)}.")
    if report.partitioned:
        tell(f"{'Would keep' if dry_run else 'Keeps'} the log in partitions, further ones of the size asked for.")
    if not any((report.applied, report.finished, report.repaired, report.partitioned)):
        tell(f"The schema has version {report.after}; there is nothing to apply.")
    if report.unfinished:
        tell("Older builds can still work beside this one. When none is left, run `worker db migrate --finish`.")


def _names(migrations: Sequence[Migration]) -> list[str]:
    return [f"{migration.version:04d} {migration.name}" for migration in migrations]
