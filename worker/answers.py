"""Answers: looks up a command's receipts in all stores, and writes them as JSON."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from eventstore import EventStoreError, Filter, HistoryArchived, Receipt, RecordedEvent
from eventstore.postgres import PostgresEventStore
from worker.failures import Mistake, sentence
from worker.reading_store import reading_store
from worker.stores import StoreSettings

__all__ = ["AnswersFound", "document", "domain_of", "look_up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersFound:
    """What the stores have recorded for a command.

    Attributes:
        answers: The receipts, each with its events: one for each domain that a command with this id was sent to.
        silent: The stores that could not be asked, a sentence each.
    """

    answers: Sequence[tuple[Receipt, Sequence[RecordedEvent]]]
    silent: Sequence[str] = ()


async def look_up(stores: Sequence[StoreSettings], key: UUID) -> AnswersFound:
    """Look up a command's answers in every store.

    Args:
        stores: The stores.
        key: The command's id.

    Raises:
        Mistake: No store has an answer, and at least one could not be asked.
        EventStoreError: There is one store only, and it cannot be asked.
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
            silent.append(f"{store} cannot be read: {sentence(answer)}")
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
        return []  # the receipt has everything else


def domain_of(receipt: Receipt) -> str | None:
    """Return the name of the domain whose command a receipt answers; None if the receipt does not name it."""
    domain = receipt.scope or receipt.outcome.details.get("domain")
    return None if domain is None else str(domain)


def document(receipt: Receipt, events: Sequence[RecordedEvent], trace_url: str) -> dict[str, Any]:
    """Return the answer to a command as a JSON object, for programs.

    Args:
        receipt: The command's receipt.
        events: The events that it recorded.
        trace_url: Address of a trace's page, with the placeholder ``{trace_id}``; empty for no link.
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
