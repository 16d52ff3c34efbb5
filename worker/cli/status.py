"""``worker status COMMAND_ID``."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import typer

from eventstore import EventStoreError, Filter, HistoryArchived, Receipt, RecordedEvent
from eventstore.postgres import PostgresEventStore
from worker.cli.events import fields
from worker.cli.failures import Mistake, sentence
from worker.cli.loop import run_async
from worker.cli.reading_store import reading_store
from worker.cli.stores import DomainOption, chosen
from worker.cli.terminal import print_json, table, tell
from worker.settings import Settings
from worker.stores import StoreSettings

__all__ = ["AnswersFound", "document", "domain_of", "look_up", "status"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersFound:
    """What is on record of a command.

    Attributes:
        answers: Each receipt with its events: one for each domain that the id was sent to.
        silent: Which stores could not be asked, a sentence each.
    """

    answers: Sequence[tuple[Receipt, Sequence[RecordedEvent]]]
    silent: Sequence[str] = ()


def status(
    command_id: Annotated[str, typer.Argument(metavar="COMMAND_ID", help="The command's id, a UUID.")],
    *,
    domain: DomainOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what became of a command: its outcome, its events, and its trace.

    Where domains have databases of their own, all are asked. Exit status 1 when there is no answer on record.
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
                f"There is no answer to command {identity} on record: it was never sent, waits in its queue, "
                "or is a dead letter (`worker dead-letters show` tells)."
            )
        raise typer.Exit(1)
    documents = [document(receipt, events, settings.worker_trace_url) for receipt, events in found]
    if json:
        # One id that was sent to several domains is several commands.
        print_json({**documents[0], "others": documents[1:]} if documents[1:] else documents[0])
    else:
        for each in documents:
            _show(each)


async def look_up(stores: Sequence[StoreSettings], key: UUID) -> AnswersFound:
    """Ask every store for the answer to a command.

    Raises:
        Mistake: There is no answer in any store that can be asked, and one cannot.
        EventStoreError: There is one store, and it cannot be asked.
    """
    answers = await asyncio.gather(*(_look_up_in(store, key) for store in stores), return_exceptions=True)
    found: list[tuple[Receipt, Sequence[RecordedEvent]]] = []
    silent: list[str] = []
    for store, answer in zip(stores, answers, strict=True):
        if not isinstance(answer, BaseException):
            found += answer
        elif len(stores) == 1 or not isinstance(answer, EventStoreError):
            raise answer
        else:
            silent.append(f"{store} cannot be asked: {sentence(answer)}")
    if silent and not found:
        raise Mistake("\n".join(silent))
    return AnswersFound(answers=found, silent=silent)


async def _look_up_in(addresses: StoreSettings, key: UUID) -> list[tuple[Receipt, Sequence[RecordedEvent]]]:
    async with reading_store(addresses, application_name="worker status") as store:
        return [(receipt, await _events(store, receipt)) for receipt in await store.receipts_of(key)]


async def _events(store: PostgresEventStore, receipt: Receipt) -> list[RecordedEvent]:
    if receipt.first is None or receipt.last is None:
        return []
    own = Filter.matching_any_event().sequence_number_higher_than(receipt.first - 1)
    try:
        return [event async for event in store.read(own, up_to=receipt.last)]
    except HistoryArchived:
        return []  # the receipt says all else


def domain_of(receipt: Receipt) -> str | None:
    """Return the domain whose command a receipt answers, as far as it says so."""
    domain = receipt.scope or receipt.outcome.details.get("domain")
    return None if domain is None else str(domain)


def document(receipt: Receipt, events: Sequence[RecordedEvent], trace_url: str) -> dict[str, Any]:
    """Say to a program what became of a command.

    Args:
        receipt: Its answer.
        events: What it has recorded.
        trace_url: Where a person opens a trace, with ``{trace_id}``; empty if nowhere.
    """
    details = receipt.outcome.details
    trace_id = details.get("trace_id")
    return {
        "command_id": receipt.key,
        "command_type": details.get("command_type"),
        "domain": domain_of(receipt),
        "outcome": receipt.outcome.kind.value,
        "reason": receipt.outcome.reason,
        "events": [
            {
                "sequence_number": event.sequence_number,
                "type": event.type,
                "payload": event.payload,
                "occurred_at": event.occurred_at,
            }
            for event in events
        ],
        "events_archived": receipt.first is not None and not events,
        "position": str(receipt.position),
        "recorded_at": receipt.recorded_at,
        "attempts": details.get("attempts"),
        "correlation_id": details.get("correlation_id"),
        "trace_id": trace_id,
        "trace_url": trace_url.replace("{trace_id}", trace_id) if trace_url and trace_id else None,
    }


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
