"""``worker db adopt``."""

from typing import Annotated

import typer

from eventstore.counted import counted
from eventstore.event_file import NUMBER_FIELD
from eventstore.postgres import Adoption
from eventstore.postgres import adopt as take_over
from worker.chosen_stores import chosen_one
from worker.cli.bulk_progress import bulk_progress, told_to_go_on
from worker.cli.loop import run_async
from worker.cli.options import Json, LogOption
from worker.cli.terminal import print_json, tell
from worker.settings import Settings

__all__ = ["adopt"]


def adopt(
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="URL",
            envvar="ADOPT_FROM",
            show_envvar=False,
            help="The address of the database that has the table; or set ADOPT_FROM, which other users of the "
            "machine cannot see.",
        ),
    ],
    *,
    table: Annotated[str, typer.Option(metavar="TABLE", help="The table, with its schema if it needs one.")] = "events",
    number_field: Annotated[
        str, typer.Option(metavar="FIELD", help="The metadata field to store each event's number in the table in.")
    ] = NUMBER_FIELD,
    domain: LogOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only read the table and check each event; record nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Take over another store's table of events, as the beginning of the log in the database of DATABASE_ADMIN_URL.

    The table has the columns of dynamic-streams-eventstore-go: sequence_number, occurred_at, event_type, payload,
    metadata. Events get new numbers, without gaps, in the table's order, and are compared with the table at the end.
    The command can be stopped at any time: run again, it continues where it stopped, also with newer events.
    """
    store = chosen_one(Settings.load(needs=("database_admin_url",)), domain, by="database_admin_url")
    with told_to_go_on(store), bulk_progress("reading" if dry_run else "adopting") as progress:
        found = run_async(
            take_over(
                store.database_admin_url,
                source,
                schema=store.database_schema,
                table=table,
                number_field=number_field,
                dry_run=dry_run,
                progress=progress,
            )
        )
    if json:
        print_json(
            {
                "table": found.table,
                "before": found.before,
                "adopted": found.adopted - found.before,
                "sum": found.sum,
                "dry_run": dry_run,
            }
        )
    else:
        tell(_told(found, table))


def _told(found: Adoption, table: str) -> str:
    already = f" {counted(found.before, 'was', 'were')} adopted before." if found.before else ""
    if found.dry_run:
        return f"{counted(found.table - found.before, 'event')} of {table} would be adopted.{already}"
    compared = f"Compared with the table: {counted(found.adopted, 'event')}, equal by count and checksum."
    return f"Adopted {counted(found.adopted - found.before, 'event')} of {table}.{already} {compared}"
