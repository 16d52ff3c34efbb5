"""``worker db prune``."""

from datetime import timedelta
from typing import Annotated

import typer

from eventstore.counted import counted
from eventstore.postgres import LEAST_AGE, Prunable, count_prunable
from eventstore.postgres import prune as delete
from worker.chosen_stores import chosen
from worker.cli.administration import administering
from worker.cli.age import age
from worker.cli.consent import agreed
from worker.cli.loop import run_async
from worker.cli.options import DomainOption, Json, Yes
from worker.cli.stores import document, in_turn
from worker.cli.terminal import print_json, progress_bar, tell
from worker.failures import Mistake
from worker.settings import Settings
from worker.stores import StoreSettings

__all__ = ["prune"]


def prune(
    older_than: Annotated[str, typer.Option(metavar="AGE", help="How old a receipt must be: 36h, 90d, 12w.")],
    *,
    domain: DomainOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be deleted.")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete old receipts from the database of DATABASE_ADMIN_URL, in batches, after asking. Events are never deleted.

    A command that is repeated after its receipt was deleted is decided again, and `worker status` no longer finds it:
    choose an age after which no command is published or redelivered again. Dead letters that are older are replayed
    only with --even-if-forgotten. Where domains have databases of their own, each is pruned, with a question for each.
    Exit status 1 when the answer was no.
    """
    settings = Settings.load(needs=("database_admin_url",))
    least_age = _age(older_than, settings)
    stores = chosen(settings, domain, by="database_admin_url")
    documents = []
    refused = False
    for store in stores:
        with in_turn(store, stores, silent=json), administering(store):
            found = run_async(count_prunable(store.database_admin_url, least_age, schema=store.database_schema))
            wanted = (
                not dry_run and found.receipts > 0 and (yes or _agreed(found, "" if len(stores) == 1 else f"{store}: "))
            )
            deleted = _delete(store, found) if wanted else 0
            refused |= found.receipts > 0 and not dry_run and not wanted
        counts = {"before": found.before, "receipts": found.receipts, "total": found.total, "deleted": deleted}
        documents.append({**counts, "dry_run": dry_run})
        if not json:
            tell(_told(found, deleted, wanted=wanted, dry_run=dry_run))
    if json:
        print_json(document(stores, documents))
    if refused:
        raise typer.Exit(1)


def _told(found: Prunable, deleted: int, *, wanted: bool, dry_run: bool) -> str:
    if not found.receipts:
        return f"None of {counted(found.total, 'receipt')} was recorded before {_moment(found)}."
    if dry_run:
        return f"{_described(found)} would be deleted."
    return f"Deleted {counted(deleted, 'receipt')}." if wanted else "Nothing was deleted."


def _age(text: str, settings: Settings) -> timedelta:
    chosen = age(text, units="hdw")
    least = max(LEAST_AGE, timedelta(seconds=settings.worker_max_age))
    if chosen < least:
        raise Mistake(
            f"{text} is too short: for {least / timedelta(hours=1):g} hours a receipt may be needed to keep a "
            "redelivered command from being decided twice."
        )
    return chosen


def _agreed(found: Prunable, whose: str) -> bool:
    return agreed(
        f"{whose}{_described(found)} will be deleted. A command that is repeated after that is decided again.",
        "Delete them?",
        action="receipts are deleted",
        look="to count them",
    )


def _described(found: Prunable) -> str:
    return f"{found.receipts:,} of {counted(found.total, 'receipt')}, recorded before {_moment(found)},"


def _moment(found: Prunable) -> str:
    return f"{found.before:%Y-%m-%d %H:%M} UTC"


def _delete(store: StoreSettings, found: Prunable) -> int:
    with progress_bar("deleting", found.receipts) as advance:
        return run_async(delete(store.database_admin_url, found, schema=store.database_schema, progress=advance))
