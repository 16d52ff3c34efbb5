"""Batches of appends as the parameters of ``append_v3``, and its rows as verdicts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from eventstore.append import Append
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
from eventstore.events import Event, RecordedEvent
from eventstore.jsontext import canonical, decode_object
from eventstore.position import Position
from eventstore.postgres.arrays import json_array, moment_array, name_array, number_array
from eventstore.postgres.drivers.protocol import Row
from eventstore.receipt import Outcome, OutcomeKind, Receipt
from eventstore.stream import EventStream

__all__ = [
    "BROKEN",
    "AppendAnswer",
    "Behind",
    "Resend",
    "Verdict",
    "chain_answer",
    "columns",
    "met",
    "receipt_of",
    "verdict_of",
]

BROKEN = "an earlier append that this one was decided on was not recorded"

# The largest distance in events between a position and the head for a check under the lock. Beyond it, the search would
# hold up all other appends; below it, reading outside the lock and returning would cost the caller more than the
# search.
_TAIL_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Behind:
    """The verdict for a position too far below the head to be checked under the lock: read above it, then retry.

    Attributes:
        part: The index of the boundary part, from 0.
    """

    part: int = 0


@dataclass(frozen=True, slots=True)
class Resend:
    """The verdict for an append that conflicts with an earlier one of its batch: a retry finds out from the log."""


AppendAnswer = Receipt | EventStoreError
Verdict = AppendAnswer | Behind | Resend


def columns(appends: Sequence[Append], *, chained: bool = False) -> tuple[object, ...]:
    """Build the parameters of ``append.sql`` for a batch, in the order that its header describes.

    Raises:
        InvalidRequest: The payload of an event cannot be parsed, so the boundaries that it matches are unknown.
    """
    parts = _Parts()
    reads = [[parts.place(part) for part in append.parts] for append in appends]
    # A single append has no other member to conflict with.
    index = BoundaryIndex([part.filter for part in parts.distinct]) if len(appends) > 1 else None
    earlier: dict[tuple[UUID, str], int] = {}
    members: list[int] = []
    for member, (append, read) in enumerate(zip(appends, reads, strict=True), start=1):
        first = earlier.setdefault((append.key, append.scope), member) if append.key is not None else member
        meets = [place + 1 for place in met(index, append.events)] if index is not None and append.events else ()
        members += (len(append.events), first if first < member else 0, len(read), *read, len(meets), *meets)
    events = [event for append in appends for event in append.events]
    return (
        [append.key for append in appends],
        name_array([append.scope for append in appends]),
        [append.digest for append in appends],
        [_receipt_text(append.outcome) if append.key is not None else None for append in appends],
        number_array(members),
        *parts.columns(),
        name_array([event.type for event in events]),
        moment_array([event.occurred_at for event in events]),
        json_array([event.payload_text for event in events]),
        json_array([event.metadata_text for event in events]),
        chained,
        _TAIL_LIMIT,
    )


def met(index: BoundaryIndex, events: Sequence[Event]) -> Iterable[int]:
    """Return the filters of an index that at least one event will match once the events are recorded.

    Raises:
        InvalidRequest: A payload was not checked before, and cannot be parsed.
    """
    try:
        if len(events) == 1:
            return index.matching(events[0])
        return index.matching_any(events)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"an event's payload cannot be read: {error}") from error


def verdict_of(append: Append, row: Row) -> Verdict:
    """Convert one row of the answer into a verdict.

    The batch is committed: a row that cannot be read is an error of its member alone, and the others get their answers.
    """
    try:
        return _verdict_of(append, row)
    except Exception as error:  # noqa: BLE001  whatever is in the row
        return EventStoreError(f"the store answered {row[0]!r}, with details that this program cannot read: {error!r}")


def _verdict_of(append: Append, row: Row) -> Verdict:
    verdict, part, first, last, number, token, recorded_at, detail = row
    match verdict:
        case "appended" | "duplicate":
            kept = decode_object(detail) if verdict == "duplicate" else None
            return Receipt(
                key=append.key,
                outcome=append.outcome if kept is None else _outcome(kept),
                first=first,
                last=last,
                position=Position(number=number, token=token),
                recorded_at=recorded_at if append.key is not None else None,
                duplicate=kept is not None,
                # The receipt of an earlier member is stored as it was sent, without its scope.
                scope=append.scope if kept is None else kept.get("scope", append.scope),
            )
        case "behind":
            return Behind(part)
        case "resend":
            return Resend()
        case _:
            head = None if number is None else Position(number=number, token=token)
            return _refusal(append, verdict, part, detail, head)


def chain_answer(append: Append, verdict: Verdict) -> AppendAnswer:
    """Return the answer to the caller of a chain for one member."""
    match verdict:
        case Behind(part=part):
            return ChainBroken(f"{_named(append, part)} is too far from the head for a chain")
        case Resend():
            return EventStoreError("the store answered a member of a chain with 'resend'")
        case answer:
            return answer


def receipt_of(row: Row) -> Receipt:
    """Convert a row of the receipts table."""
    return Receipt(
        key=row["key"],
        outcome=_outcome({**row, "details": decode_object(row["details"])}),
        first=row["first_number"],
        last=row["last_number"],
        position=Position(number=row["position"], token=row["position_token"]),
        recorded_at=row["recorded_at"],
        scope=row["scope"],
    )


def _refusal(append: Append, verdict: str, part: int, detail: str, head: Position | None) -> EventStoreError:
    match verdict:
        case "conflict":
            event = decode_object(detail)
            return ConcurrencyConflict(
                sequence_number=event["number"],
                event_type=event["type"],
                metadata=event["metadata"],
                part=part,
                unseen=None if head is None else _stream(event["unseen"], head),
            )
        case "diverged":
            return HistoryDiverged(f"{_named(append, part)} is not in this store's history")
        case "reused" if append.key is not None:
            return IdempotencyKeyReused(append.key)
        case "broken":
            return ChainBroken(BROKEN)
        case other:
            return EventStoreError(f"append_v3 answered {other!r}, which this program does not know")


def _stream(rows: Iterable[Sequence[Any]], head: Position) -> EventStream:
    """Convert the events that a refused append has not seen, up to the head."""
    events = [
        RecordedEvent(
            sequence_number=number,
            token=token,
            type=event_type,
            occurred_at=datetime.fromisoformat(occurred_at).astimezone(UTC),
            payload=payload,
            metadata=metadata,
        )
        for number, token, event_type, occurred_at, payload, metadata in rows
    ]
    return EventStream(events=tuple(events), position=head)


def _outcome(kept: dict[str, Any]) -> Outcome:
    return Outcome(kind=OutcomeKind(kept["outcome"]), reason=kept["reason"], details=kept["details"])


def _named(append: Append, place: int) -> str:
    told = " or ".join(f"position {position}" for position in append.parts[place].positions)
    return told if len(append.parts) == 1 else f"{told} of part {place}"


def _receipt_text(outcome: Outcome) -> str:
    reason = "null" if outcome.reason is None else msgspec.json.encode(outcome.reason).decode()
    return f'{{"outcome":"{outcome.kind.value}","reason":{reason},"details":{outcome.details_text}}}'


class _Parts:
    """The distinct boundary parts of a batch, numbered from 1, and their conditions."""

    def __init__(self) -> None:
        self.distinct: list[BoundaryPart] = []
        # By object identity first, since equal parts are mostly the same object; then by content.
        self._known: dict[int, int] = {}
        self._places: dict[tuple[object, ...], int] = {}
        self._type_sets: dict[tuple[str, ...], int] = {}
        self._items = 0
        self._conditions: list[int] = []
        self._predicates: list[str | None] = []

    def place(self, part: BoundaryPart) -> int:
        """Return the number of a part; equal parts have one number, and a new part gets the next."""
        place = self._known.get(id(part))
        if place is None:
            place = self._known[id(part)] = self._place(part)
        return place

    def _place(self, part: BoundaryPart) -> int:
        boundary, sets = part.filter, self._type_sets
        identity = (boundary.items, boundary.since, boundary.until, boundary.above, part.after, part.besides)
        place = self._places.setdefault(identity, len(self.distinct) + 1)
        if place > len(self.distinct):
            self.distinct.append(part)
            for item in boundary.items:
                self._items += 1
                type_set = sets.setdefault(item.event_types, len(sets) + 1) if item.event_types else 0
                needed = item.predicates_needed
                for fragment in item.fragments or (None,):
                    self._conditions += (self._items, place, type_set, needed)
                    self._predicates.append(fragment)
        return place

    def columns(self) -> tuple[object, ...]:
        """Return the parameters that describe the parts: positions and ranges, conditions, predicates and terms."""
        ranges = [
            number
            for place, part in enumerate(self.distinct, start=1)
            for own in part.besides
            for number in (place, own.first, own.last.number, own.last.token)
        ]
        return (
            number_array([part.after.number for part in self.distinct]),
            number_array([part.after.token for part in self.distinct]),
            number_array(ranges),
            number_array(self._conditions),
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
