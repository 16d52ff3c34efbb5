"""``worker db import``."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from eventstore.counted import counted
from eventstore.event_file import NUMBER_FIELD, EventFile, FileFormat
from eventstore.events import Event
from eventstore.postgres import CheckedImport, Import, check_import, find_imports, import_events
from worker.chosen_stores import chosen_one
from worker.cli.bulk_progress import bulk_progress, told_to_go_on
from worker.cli.loop import run_async
from worker.cli.options import Json, LogOption
from worker.cli.terminal import print_json, tell
from worker.failures import Mistake
from worker.settings import Settings
from worker.stores import StoreSettings

__all__ = ["import_file"]

# How often the position in the file is drawn, in events: drawing takes longer than reading hundreds of lines.
_EVENTS_A_LOOK = 1000


def import_file(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file; it is unpacked if it is gzip.")],
    *,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The import's name; by default the file's.")] = None,
    file_format: Annotated[
        FileFormat | None, typer.Option("--format", help="The file's format; by default from its name.")
    ] = None,
    number_field: Annotated[
        str, typer.Option(metavar="FIELD", help="The metadata field to store each event's sequence_number in.")
    ] = NUMBER_FIELD,
    domain: LogOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check the file, and show what would be done.")
    ] = False,
    json: Json = False,
) -> None:
    """Import a file of events into the database of DATABASE_ADMIN_URL, after the events that it has.

    All are checked first: if one is wrong, none is imported. They are imported in batches while workers run. The
    command can be stopped at any time: run again, it continues where it stopped, also with a file that has got more
    lines.
    """
    store = chosen_one(Settings.load(needs=("database_admin_url",)), domain, by="database_admin_url")
    path = Path(file)
    try:
        path.stat()
    except OSError as error:
        raise Mistake(f"{file} cannot be read: {error.strerror}.") from error
    chosen = file_format or FileFormat.of(path)
    if chosen is None:
        raise Mistake(f"the name of {file} does not show its format: pass --format ndjson or --format csv.")
    events = EventFile(path=path, format=chosen, number_field=number_field)
    called = name or path.name
    with told_to_go_on(store):
        checked = _check(store, events, called)
        done = checked.known if dry_run else _import(store, events, called, checked)
    document = {
        "name": called,
        "records": checked.records,
        "before": checked.known.records,
        "imported": done.records - checked.known.records,
        "first": done.first or None,
        "last": done.last or None,
        "dry_run": dry_run,
    }
    if json:
        print_json(document)
    else:
        tell(_told(path, checked, done, dry_run=dry_run))


def _check(store: StoreSettings, events: EventFile, name: str) -> CheckedImport:
    known = run_async(find_imports(store.database_admin_url, schema=store.database_schema))
    with bulk_progress("checking", is_bytes=True) as progress:
        return check_import(_watched(events, progress), known, name=name)


def _watched(events: EventFile, progress: Callable[[int, int], None]) -> Iterator[Event]:
    size = events.size
    for count, event in enumerate(events.events()):
        if count % _EVENTS_A_LOOK == 0:
            progress(events.position, size)
        yield event


def _import(store: StoreSettings, events: EventFile, name: str, checked: CheckedImport) -> Import:
    if checked.records == checked.known.records:
        return checked.known
    with bulk_progress("importing") as progress:
        return run_async(
            import_events(
                store.database_admin_url,
                events.events(),
                name=name,
                schema=store.database_schema,
                checked=checked,
                progress=lambda done: progress(done, checked.records),
            )
        )


def _told(file: Path, checked: CheckedImport, done: Import, *, dry_run: bool) -> str:
    before, left = checked.known.records, checked.records - checked.known.records
    if not checked.records:
        return f"There is no event in {file}."
    if not left:
        return f"All of {file} was imported before: {counted(checked.records, 'event')}."
    already = f" {counted(before, 'was', 'were')} imported before." if before else ""
    if dry_run:
        return f"{counted(left, 'event')} of {file} would be imported.{already}"
    return f"Imported {counted(done.records - before, 'event')} of {file}; the last is number {done.last:,}.{already}"
