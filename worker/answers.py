"""Answers: what is on record of a command, in whichever store, and how a program is told of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from eventstore import EventStoreError, Filter, Receipt, RecordedEvent
from eventstore.postgres import PostgresEventStore
from worker.failures import Mistake, sentence
from worker.reading_store import reading_store
from worker.stores import StoreSettings

__all__ = ["AnswersFound", "document", "domain_of", "look_up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersFound:
    """What is on record of a command.

    Attributes:
        answers: Each receipt with its events: one for each domain that the id was sent to.
        silent: Which stores could not be asked, a sentence each.
    """

    answers: Sequence[tuple[Receipt, Sequence[RecordedEvent]]]
    silent: Sequence[str] = ()


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
    return [event async for event in store.read(own, up_to=receipt.last)]


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
        "position": str(receipt.position),
        "recorded_at": receipt.recorded_at,
        "attempts": details.get("attempts"),
        "correlation_id": details.get("correlation_id"),
        "trace_id": trace_id,
        "trace_url": trace_url.replace("{trace_id}", trace_id) if trace_url and trace_id else None,
    }
