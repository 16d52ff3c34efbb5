"""Append requests as the parameters of ``append_v3``, and its answer as verdicts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from eventstore.boundary import BoundaryPart
from eventstore.boundary_index import BoundaryIndex
from eventstore.errors import (
    ChainBroken,
    ConcurrencyConflict,
    EventStoreError,
    HistoryDiverged,
    IdempotencyKeyReused,
    InvalidRequest,
)
from eventstore.events import Event
from eventstore.jsontext import canonical, decode_object
from eventstore.position import Position
from eventstore.receipt import Outcome, OutcomeKind, Receipt
from eventstore.request import AppendRequest

__all__ = ["Behind", "Resend", "Verdict", "columns", "met", "receipt_of", "verdict_of"]

# How far behind the head a position may be and still be judged under the lock. Beyond, the search costs everyone
# their turn; below, going away and coming back costs the caller more than the search.
_TAIL_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Behind:
    """A part's position is too far from the head to be judged under the lock: read above it, then come back.

    Attributes:
        part: Which part of the boundary, from 0.
    """

    part: int = 0


@dataclass(frozen=True, slots=True)
class Resend:
    """The request meets an earlier one of its batch: send it again, and the tail will tell."""


Verdict = Receipt | Behind | Resend | EventStoreError


def columns(requests: Sequence[AppendRequest], *, chained: bool = False) -> tuple[object, ...]:
    """Lay a batch out in the order of the parameters of ``append_v3``, which describes them.

    Raises:
        InvalidRequest: The events of a request cannot be read, so that nobody knows whom they concern.
    """
    parts = _Parts()
    reads = [[parts.place(part) for part in request.parts or ()] for request in requests]
    # Alone, it can meet nobody.
    index = BoundaryIndex(part.filter for part in parts.distinct) if len(requests) > 1 else None
    earlier: dict[tuple[UUID, str], int] = {}
    members: list[int] = []
    for member, (request, read) in enumerate(zip(requests, reads, strict=True), start=1):
        first = earlier.setdefault((request.key, request.scope), member) if request.key is not None else member
        meets = [place + 1 for place in met(index, request.events)] if index is not None and request.events else ()
        members += (len(request.events), first if first < member else 0, len(read), *read, len(meets), *meets)
    events = [event for request in requests for event in request.events]
    return (
        [request.key for request in requests],
        [request.scope for request in requests],
        [request.digest for request in requests],
        [_receipt_text(request.outcome) if request.key is not None else None for request in requests],
        members,
        *parts.columns(),
        [event.type for event in events],
        [event.occurred_at for event in events],
        [event.payload_text for event in events],
        [event.metadata_text for event in events],
        chained,
        _TAIL_LIMIT,
    )


def met(index: BoundaryIndex, events: Sequence[Event]) -> Iterable[int]:
    """Tell which filters of an index events lie in, once they are recorded.

    Raises:
        InvalidRequest: An event's payload has not been checked, and cannot be read.
    """
    try:
        if len(events) == 1:
            return tuple(index.matching(events[0]))
        return sorted({place for event in events for place in index.matching(event)})
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"an event's payload cannot be read: {error}") from error


def verdict_of(request: AppendRequest, row: "asyncpg.Record", *, chained: bool = False) -> Verdict:  # noqa: PLR0911  one return a verdict
    """Read one row of the answer."""
    match row["verdict"]:
        case "appended":
            return _receipt(request, row, request.outcome, scope=request.scope, duplicate=False)
        case "duplicate":
            kept = decode_object(row["detail"])
            # That of an earlier member is as it was sent, without its scope.
            return _receipt(request, row, _outcome(kept), scope=kept.get("scope", request.scope), duplicate=True)
        case "conflict":
            event = decode_object(row["detail"])
            return ConcurrencyConflict(
                sequence_number=event["number"],
                event_type=event["type"],
                metadata=event["metadata"],
                part=row["part"],
            )
        case "diverged":
            return HistoryDiverged(f"{_named(request, row)} is not in this store's history")
        case "reused" if request.key is not None:
            return IdempotencyKeyReused(request.key)
        case "broken":
            return ChainBroken("an earlier append that this one was decided on was not recorded")
        case "behind" if chained:
            return ChainBroken(f"{_named(request, row)} is too far from the head for a chain")
        case "behind":
            return Behind(row["part"])
        case "resend":
            return Resend()
        case other:
            return EventStoreError(f"append_v3 answered {other!r}, which this program does not know")


def receipt_of(row: "asyncpg.Record") -> Receipt:
    """Read a row of the receipts."""
    return Receipt(
        key=row["key"],
        outcome=_outcome({**row, "details": decode_object(row["details"])}),
        first=row["first_number"],
        last=row["last_number"],
        position=Position(number=row["position"], token=row["position_token"]),
        recorded_at=row["recorded_at"],
        scope=row["scope"],
    )


def _receipt(
    request: AppendRequest, row: "asyncpg.Record", outcome: Outcome, *, scope: str, duplicate: bool
) -> Receipt:
    return Receipt(
        key=request.key,
        outcome=outcome,
        first=row["first_number"],
        last=row["last_number"],
        position=Position(number=row["position"], token=row["position_token"]),
        recorded_at=row["recorded_at"] if request.key is not None else None,
        duplicate=duplicate,
        scope=scope,
    )


def _outcome(kept: dict[str, Any]) -> Outcome:
    return Outcome(kind=OutcomeKind(kept["outcome"]), reason=kept["reason"], details=kept["details"])


def _named(request: AppendRequest, row: "asyncpg.Record") -> str:
    parts = request.parts or ()
    part = parts[row["part"]]
    told = " or ".join(f"position {position}" for position in part.positions)
    return told if len(parts) == 1 else f"{told} of part {row['part']}"


def _receipt_text(outcome: Outcome) -> str:
    reason = "null" if outcome.reason is None else msgspec.json.encode(outcome.reason).decode()
    return f'{{"outcome":"{outcome.kind.value}","reason":{reason},"details":{outcome.details_text}}}'


class _Parts:
    """The distinct parts of a batch, numbered from 1, and their conditions."""

    def __init__(self) -> None:
        self.distinct: list[BoundaryPart] = []
        self._places: dict[tuple[object, ...], int] = {}
        self._type_sets: dict[tuple[str, ...], int] = {}
        self._items = 0
        self._conditions: list[int] = []
        self._predicates: list[str | None] = []

    def place(self, part: BoundaryPart) -> int:
        """Return a part's number, the same for equal parts; a new one joins the others."""
        sets = self._type_sets
        boundary = part.filter
        items = tuple(
            [
                (
                    sets.setdefault(item.event_types, len(sets) + 1) if item.event_types else 0,
                    item.predicates_needed,
                    tuple([predicate.fragment for predicate in item.predicates]),
                )
                for item in boundary.items
            ]
        )
        identity = (items, boundary.since, boundary.until, boundary.above, part.after, part.besides)
        place = self._places.setdefault(identity, len(self.distinct) + 1)
        if place > len(self.distinct):
            self.distinct.append(part)
            for type_set, needed, fragments in items:
                self._items += 1
                for fragment in fragments or (None,):
                    self._conditions += (self._items, place, type_set, needed)
                    self._predicates.append(fragment)
        return place

    def columns(self) -> tuple[object, ...]:
        """Lay them out: their positions and ranges, conditions, predicates and terms."""
        ranges = [
            number
            for place, part in enumerate(self.distinct, start=1)
            for own in part.besides
            for number in (place, own.first, own.last.number, own.last.token)
        ]
        return (
            [part.after.number for part in self.distinct],
            [part.after.token for part in self.distinct],
            ranges,
            self._conditions,
            self._predicates,
            canonical({"types": list(self._type_sets), "bounds": self._bounds()}).decode(),
        )

    def _bounds(self) -> list[tuple[object, ...]]:
        return [
            (
                place,
                boundary.since and boundary.since.isoformat(),
                boundary.until and boundary.until.isoformat(),
                boundary.above or None,
            )
            for place, part in enumerate(self.distinct, start=1)
            if (boundary := part.filter).since is not None or boundary.until is not None or boundary.above
        ]
