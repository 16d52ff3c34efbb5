"""What a store answered, in a form that two stores can be compared by: without tokens and clocks."""

from collections.abc import Awaitable
from typing import NamedTuple
from uuid import UUID

from eventstore import ConcurrencyConflict, EventStoreError, EventStream, Outcome, Receipt, RecordedEvent


class ReceiptAnswer(NamedTuple):
    """A receipt."""

    key: UUID | None
    outcome: Outcome
    first: int | None
    last: int | None
    position: int
    timed: bool
    duplicate: bool
    scope: str


class ErrorAnswer(NamedTuple):
    """An error, with the conflicting event where there is one."""

    kind: str
    number: int | None = None
    event_type: str | None = None
    metadata: str | None = None
    part: int | None = None


class StreamAnswer(NamedTuple):
    """What a query found."""

    events: list[object]
    position: int
    complete: bool


def of_event(event: RecordedEvent) -> object:
    # By their text, because 1, True and Decimal("1.0") are equal in Python.
    payload = sorted((field, repr(value)) for field, value in event.payload.items())
    return event.sequence_number, event.type, payload, event.metadata, event.occurred_at


def of_stream(stream: EventStream) -> StreamAnswer:
    return StreamAnswer([of_event(event) for event in stream.events], stream.position.number, stream.complete)


async def of_streams(asked: Awaitable[list[EventStream]]) -> list[StreamAnswer] | ErrorAnswer:
    """Wait for the answer to a question of several filters."""
    try:
        return list(map(of_stream, await asked))
    except EventStoreError as error:
        return of_error(error)


def of_receipt(receipt: Receipt) -> ReceiptAnswer:
    return ReceiptAnswer(
        receipt.key,
        receipt.outcome,
        receipt.first,
        receipt.last,
        receipt.position.number,
        receipt.recorded_at is not None,
        receipt.duplicate,
        receipt.scope,
    )


async def of_append(append: Awaitable[Receipt]) -> ReceiptAnswer | ErrorAnswer:
    """Wait for an append's answer; a refusal is one, too."""
    try:
        return of_receipt(await append)
    except EventStoreError as error:
        return of_error(error)


async def of_chain(chain: Awaitable[list[Receipt | EventStoreError]]) -> list[ReceiptAnswer | ErrorAnswer]:
    """Wait for the answers to a chain."""
    return [of_receipt(one) if isinstance(one, Receipt) else of_error(one) for one in await chain]


def of_error(error: EventStoreError) -> ErrorAnswer:
    if isinstance(error, ConcurrencyConflict):
        return ErrorAnswer(
            "ConcurrencyConflict", error.sequence_number, error.event_type, repr(error.metadata), error.part
        )
    return ErrorAnswer(type(error).__name__)
