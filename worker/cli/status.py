"""``worker status COMMAND_ID``."""

from typing import Annotated, Any
from uuid import UUID

import typer

from eventstore import Filter, Position, Receipt, RecordedEvent
from eventstore.postgres import PostgresEventStore
from worker.cli.failures import Mistake
from worker.cli.loop import run_async
from worker.cli.terminal import print_json, table, tell
from worker.settings import Settings

__all__ = ["status"]


def status(
    command_id: Annotated[str, typer.Argument(metavar="COMMAND_ID", help="The command's id, a UUID.")],
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what became of a command: its outcome, its events, and its trace.

    Exit status 1 when there is no answer on record.
    """
    try:
        identity = UUID(command_id)
    except ValueError:
        raise Mistake(f"{command_id!r} is not a UUID; pass the id that `worker publish` printed.") from None
    found = run_async(_look_up(Settings.load(needs=("database_url",)), identity))
    if found is None:
        if json:
            print_json({"command_id": identity, "outcome": None})
        else:
            tell(
                f"There is no answer to command {identity} on record: it was never sent, waits in its queue, "
                "or is a dead letter (`worker dead-letters show` tells)."
            )
        raise typer.Exit(1)
    receipt, events = found
    if json:
        print_json(_document(receipt, events))
    else:
        _show(receipt, events)


async def _look_up(settings: Settings, key: UUID) -> tuple[Receipt, list[RecordedEvent]] | None:
    async with PostgresEventStore.connect(
        settings.database_url, pool_size=1, application_name="worker status"
    ) as store:
        receipt = await store.receipt(key)
        if receipt is None:
            return None
        return receipt, await _events(store, receipt)


async def _events(store: PostgresEventStore, receipt: Receipt) -> list[RecordedEvent]:
    if receipt.first is None or receipt.last is None:
        return []
    before = Position(number=receipt.first - 1, token=0)
    found: list[RecordedEvent] = []
    log = store.read(Filter.matching_any_event(), after=before, batch_size=receipt.last - receipt.first + 1)
    async for event in log:
        found.append(event)
        if event.sequence_number == receipt.last:
            break
    return found


def _document(receipt: Receipt, events: list[RecordedEvent]) -> dict[str, Any]:
    details = receipt.outcome.details
    return {
        "command_id": receipt.key,
        "command_type": details.get("command_type"),
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
        "position": str(receipt.position),
        "recorded_at": receipt.recorded_at,
        "attempts": details.get("attempts"),
        "correlation_id": details.get("correlation_id"),
        "trace_id": details.get("trace_id"),
    }


def _show(receipt: Receipt, events: list[RecordedEvent]) -> None:
    document = _document(receipt, events)
    facts = table("", "")
    facts.show_header = False
    facts.add_row("command", f"{document['command_type'] or '?'} {receipt.key}")
    outcome = document["outcome"] if not document["reason"] else f"{document['outcome']}: {document['reason']}"
    facts.add_row("outcome", outcome)
    facts.add_row("decided at", f"position {receipt.position.number}, {receipt.recorded_at or '?'}")
    facts.add_row("attempts", str(document["attempts"] or "?"))
    facts.add_row("trace", document["trace_id"] or "not recorded")
    tell(facts)
    if not events:
        tell("No event was recorded.")
        return
    listing = table("number", "type", "payload")
    for event in document["events"]:
        fields = ", ".join(f"{name}={value}" for name, value in event["payload"].items())
        listing.add_row(str(event["sequence_number"]), event["type"], fields)
    tell(listing)
