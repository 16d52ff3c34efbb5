"""``worker status COMMAND_ID``."""

import sys
from typing import Annotated, Any
from uuid import UUID

import typer

from worker.answers import document, domain_of, look_up
from worker.chosen_stores import chosen
from worker.cli.events import fields
from worker.cli.loop import run_async
from worker.cli.options import DomainOption, Json
from worker.cli.terminal import print_json, table, tell
from worker.failures import Mistake
from worker.settings import Settings

__all__ = ["status"]


def status(
    command_id: Annotated[str, typer.Argument(metavar="COMMAND_ID", help="The command's id, a UUID.")],
    *,
    domain: DomainOption = None,
    json: Json = False,
) -> None:
    """Show the result of a command: its outcome, its events, and its trace.

    Where domains have databases of their own, all are searched. Exit status 1 when no answer is recorded.
    """
    try:
        identity = UUID(command_id)
    except ValueError:
        raise Mistake(f"{command_id!r} is not a UUID; pass the id that `worker publish` printed.") from None
    settings = Settings.load(needs=("database_url",))
    stores = chosen(settings, domain)
    looked_up = run_async(look_up(stores, identity))
    for line in looked_up.silent:
        print(line, file=sys.stderr)  # noqa: T201  beside the answer
    found = [each for each in looked_up.answers if domain in {None, domain_of(each[0])}]
    if not found:
        if json:
            print_json({"command_id": identity, "outcome": None})
        else:
            tell(
                f"No answer to command {identity} is recorded: it was never sent, is scheduled (see `worker schedule "
                "list`), waits in its queue, or is a dead letter (see `worker dead-letters show`)."
            )
        raise typer.Exit(1)
    documents = [document(receipt, events, settings.worker_trace_url) for receipt, events in found]
    if json:
        # Several commands, if one id was sent to several domains.
        print_json({**documents[0], "others": documents[1:]} if documents[1:] else documents[0])
    else:
        for each in documents:
            _show(each)


def _show(document: dict[str, Any]) -> None:
    facts = table("", "")
    facts.show_header = False
    facts.add_row("command", f"{document['command_type'] or '?'} {document['command_id']}")
    outcome = document["outcome"] if not document["reason"] else f"{document['outcome']}: {document['reason']}"
    facts.add_row("domain", document["domain"] or "?")
    facts.add_row("outcome", outcome)
    at = document["recorded_at"]
    when = "at a time that is not known" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"
    facts.add_row("decided at", f"position {document['position'].partition(':')[0]}, {when}")
    facts.add_row("attempts", str(document["attempts"] or "?"))
    facts.add_row("trace", document["trace_url"] or document["trace_id"] or "not recorded")
    tell(facts)
    if document["events_archived"]:
        tell("What it recorded is archived: `worker db restore-archive` brings it back.")
        return
    if not document["events"]:
        tell("No event was recorded.")
        return
    listing = table("number", "type", "payload")
    for event in document["events"]:
        listing.add_row(str(event["sequence_number"]), event["type"], fields(event["payload"]))
    tell(listing)
