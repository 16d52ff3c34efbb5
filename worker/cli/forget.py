"""``worker db forget``."""

from typing import Annotated, Any

import typer

from eventstore import Forgetting, Subject
from eventstore.counted import counted
from eventstore.postgres import KnownSubject, find_subject
from eventstore.postgres import forget as delete_key
from worker.chosen_stores import chosen
from worker.cli.administration import administering
from worker.cli.consent import agreed
from worker.cli.loop import run_async
from worker.cli.options import DomainOption, Json, Yes
from worker.cli.stores import document, in_turn
from worker.cli.terminal import print_json, tell
from worker.failures import Mistake
from worker.settings import Settings
from worker.suggestion import meant

__all__ = ["forget"]


def forget(
    subject: Annotated[
        str, typer.Argument(metavar="FIELD=VALUE", help="The person, as events name them: ReaderID=ada.")
    ],
    *,
    domain: DomainOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Forget a person in the database of DATABASE_ADMIN_URL, after asking: their Sensitive fields become unreadable.

    The key of these fields is deleted, with the stored states that may show them, and a SubjectForgotten event records
    it. No other event changes. Workers show the fields' replacements from their next read on. Where domains have
    databases of their own, the person is forgotten in each, with a question for each. docs/erasure.md says what this
    does not reach. Exit status 1 when the answer was no, or the person is unknown.
    """
    settings = Settings.load(needs=("database_admin_url",))
    whom = _subject(subject, settings)
    stores = chosen(settings, domain, by="database_admin_url")
    documents = []
    refused = False
    is_known = False
    for store in stores:
        with in_turn(store, stores, silent=json), administering(store):
            found = run_async(find_subject(store.database_admin_url, whom, schema=store.database_schema))
            whose = "" if len(stores) == 1 else f"{store}: "
            wanted = found.made_at is not None and not dry_run and (yes or _agreed(whom, found, whose))
            done = (
                run_async(delete_key(store.database_admin_url, whom, schema=store.database_schema)) if wanted else None
            )
        refused |= found.made_at is not None and not dry_run and not wanted
        is_known |= found.made_at is not None or found.before is not None or found.archived is not None
        documents.append(_document(whom, found, done, dry_run=dry_run))
        if not json:
            tell(_told(whom, found, done, dry_run=dry_run))
    if json:
        print_json(document(stores, documents))
    if refused or not is_known:
        raise typer.Exit(1)


def _subject(text: str, settings: Settings) -> Subject:
    field, mark, value = text.partition("=")
    if not (field and mark and value):
        raise Mistake(f"{text!r} names no person: write a field of events and its value, such as ReaderID=ada.")
    if settings.worker_domains:
        from worker.served_domains import served_domains  # noqa: PLC0415  not every call names domains

        known = sorted({name for each in served_domains(settings) for name in each.sensitive.subject_fields})
        if field not in known:
            hint = meant(field, known)
            named = f"; {hint} Known: {', '.join(known)}." if known else ": they have no Sensitive fields."
            raise Mistake(f"no Sensitive field of the domains belongs to a person that {field!r} names{named}")
    return Subject(field, value)


def _agreed(whom: Subject, found: KnownSubject, whose: str) -> bool:
    return agreed(
        f"{whose}{_described(whom, found)} will be deleted. Fields that were sealed with it can never be read again.",
        "Forget it?",
        action="a key is deleted",
        look="to see what would be done",
    )


def _described(whom: Subject, found: KnownSubject) -> str:
    return f"the key of {whom}, made on {found.made_at:%Y-%m-%d}, and {counted(found.states, 'stored state')}"


def _told(whom: Subject, found: KnownSubject, done: Forgetting | None, *, dry_run: bool) -> str:
    if found.made_at is None:
        return f"{whom} has no key: {_why_none(found)}."
    if dry_run:
        text = _described(whom, found)
        return f"{text[0].upper()}{text[1:]} would be deleted."
    if done is None:
        return "Nothing was deleted."
    if done.number is None:
        return f"{whom} was forgotten meanwhile, as event {done.before} records."
    return (
        f"Forgot {whom}: its key and {counted(done.states, 'stored state')} are deleted, as event {done.number} "
        "records. Dead letters, backups and copies elsewhere are not reached; docs/erasure.md says what to do."
    )


def _why_none(found: KnownSubject) -> str:
    if found.before is not None:
        return f"it was forgotten, as event {found.before} records, and nothing was sealed since"
    if found.archived is not None:
        one = f"one of the archived events up to {found.archived:,}"
        return f"it was forgotten, as {one} records, and nothing was sealed since"
    return "nothing was ever sealed for it"


def _document(whom: Subject, found: KnownSubject, done: Forgetting | None, *, dry_run: bool) -> dict[str, Any]:
    return {
        "field": whom.field,
        "subject": whom.value,
        "known_since": None if found.made_at is None else found.made_at.isoformat(),
        "forgotten_before": found.before,
        "event": None if done is None else done.number,
        "states": found.states if done is None else done.states,
        "dry_run": dry_run,
    }
