"""Append requests as the flat arrays of ``append_v1``, and its answer as verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from eventstore.errors import (
    ChainBroken,
    ConcurrencyConflict,
    EventStoreError,
    HistoryDiverged,
    IdempotencyKeyReused,
)
from eventstore.jsontext import canonical, decode_object
from eventstore.position import Position
from eventstore.receipt import Outcome, OutcomeKind, Receipt
from eventstore.request import AppendRequest

__all__ = ["Behind", "Resend", "Verdict", "columns", "receipt_of", "verdict_of"]

# How far behind the head a position may be and still be judged under the lock. Beyond, the search costs everyone
# their turn; below, going away and coming back costs the caller more than the search.
_TAIL_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Behind:
    """The position is too far from the head to be judged under the lock: read above it, then come back."""


@dataclass(frozen=True, slots=True)
class Resend:
    """The request meets an earlier one of its batch: send it again, and the tail will tell."""


Verdict = Receipt | Behind | Resend | EventStoreError


def columns(requests: Sequence[AppendRequest]) -> tuple[object, ...]:
    """Lay a batch out in the order of the parameters of ``append_v1``, which describes them."""
    items = [
        (member, request.boundary, item)
        for member, request in enumerate(requests, start=1)
        if request.boundary is not None
        for item in request.boundary.items
    ]
    predicates = [
        (number, predicate.fragment)
        for number, (_, _, item) in enumerate(items, start=1)
        for predicate in item.predicates
    ]
    events = [(member, event) for member, request in enumerate(requests, start=1) for event in request.events]
    return (
        [request.after.number if request.boundary is not None else None for request in requests],
        [request.after.token if request.boundary is not None else None for request in requests],
        [request.chain for request in requests],
        [request.key for request in requests],
        [request.digest for request in requests],
        [request.outcome.kind.value for request in requests],
        [request.outcome.reason for request in requests],
        [request.outcome.details_text for request in requests],
        [member for member, _, _ in items],
        [canonical(item.event_types).decode() if item.event_types else None for _, _, item in items],
        [item.predicates_needed for _, _, item in items],
        [boundary.since for _, boundary, _ in items],
        [boundary.until for _, boundary, _ in items],
        [boundary.above or None for _, boundary, _ in items],
        [number for number, _ in predicates],
        [fragment for _, fragment in predicates],
        [member for member, _ in events],
        [event.type for _, event in events],
        [event.occurred_at for _, event in events],
        [event.payload_text for _, event in events],
        [event.metadata_text for _, event in events],
        _TAIL_LIMIT,
    )


def verdict_of(request: AppendRequest, row: "asyncpg.Record") -> Verdict:  # noqa: PLR0911  one return a verdict
    """Read one row of the answer."""
    match row["verdict"]:
        case "appended":
            return _receipt(request, row, outcome=request.outcome, duplicate=False)
        case "duplicate":
            return _receipt(request, row, outcome=_outcome(row, "detail"), duplicate=True)
        case "conflict":
            return ConcurrencyConflict(
                sequence_number=row["conflict_number"],
                event_type=row["conflict_type"],
                metadata=decode_object(row["conflict_metadata"]),
            )
        case "diverged":
            return HistoryDiverged(f"position {request.after} is not in this store's history")
        case "reused" if request.key is not None:
            return IdempotencyKeyReused(request.key)
        case "broken":
            return ChainBroken("an earlier append that this one was decided on was not recorded")
        case "behind" if request.chain is not None:
            # Its position cannot be moved: what it has seen of its chain lies above.
            return ChainBroken(f"position {request.after} is too far from the head for a chain")
        case "behind":
            return Behind()
        case "resend":
            return Resend()
        case other:
            return EventStoreError(f"append_v1 answered {other!r}, which this program does not know")


def receipt_of(row: "asyncpg.Record") -> Receipt:
    """Read a row of the receipts."""
    return Receipt(
        key=row["key"],
        outcome=_outcome(row, "details"),
        first=row["first_number"],
        last=row["last_number"],
        position=Position(number=row["position"], token=row["position_token"]),
        recorded_at=row["recorded_at"],
    )


def _receipt(request: AppendRequest, row: "asyncpg.Record", *, outcome: Outcome, duplicate: bool) -> Receipt:
    return Receipt(
        key=request.key,
        outcome=outcome,
        first=row["first_number"],
        last=row["last_number"],
        position=Position(number=row["position"], token=row["position_token"]),
        recorded_at=row["recorded_at"] if request.key is not None else None,
        duplicate=duplicate,
    )


def _outcome(row: "asyncpg.Record", details: str) -> Outcome:
    kept: Any = row[details]
    return Outcome(kind=OutcomeKind(row["outcome"]), reason=row["reason"], details=decode_object(kept))
