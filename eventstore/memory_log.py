"""The log in memory: the events and receipts, and the rules by which further ones are judged and recorded."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from msgspec import structs

from eventstore.append import Append
from eventstore.boundary import BoundaryPart
from eventstore.errors import (
    ChainBroken,
    ConcurrencyConflict,
    EventStoreError,
    HistoryArchived,
    HistoryDiverged,
    IdempotencyKeyReused,
    PositionNotReached,
)
from eventstore.events import Event, RecordedEvent
from eventstore.filter import Filter
from eventstore.jsontext import canonical, decode_object
from eventstore.memory_archive import MemoryArchive
from eventstore.position import START, Position
from eventstore.question import Question
from eventstore.receipt import Receipt, answers_scope
from eventstore.stream import EventStream

__all__ = ["MemoryLog", "copy_of"]


class MemoryLog:
    """What is on record. Nothing here waits: each call is one transaction.

    Attributes:
        events: The events, in their order.
        receipts: The receipts with their digests, by key and scope.
        archive: Which of the events are not to be had any more.
    """

    def __init__(self) -> None:
        self.events: list[RecordedEvent] = []
        self.receipts: dict[tuple[UUID, str], tuple[bytes, Receipt]] = {}
        self.archive = MemoryArchive()

    def answered(self, question: Question) -> list[EventStream]:
        """Answer a question. Raises as ``check_history``."""
        head = self.head()
        self.archive.check_question(question)
        for position in question.positions:
            self.check_history(position)
        return [self._stream(each, head, question.most) for each in question.filters]

    def chained(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        """Record a chain: each member is judged on top of those before it."""
        before = len(self.events)
        missing: list[Event] = []
        keys: set[tuple[UUID | None, str]] = set()
        found: list[Receipt | EventStoreError] = []
        for append in appends:
            repeats = (append.key, append.scope) in keys
            keys.add((append.key, append.scope))
            try:
                answer = self.judged(append, before, missing, repeats=repeats)
            except HistoryArchived as error:
                # As of every position that lies far behind: a read tells.
                found.append(ChainBroken(str(error)))
            except EventStoreError as error:
                found.append(error)
            else:
                found.append(answer)
                if not answer.duplicate:
                    continue
            missing.extend(append.events)
        return found

    def head(self) -> Position:
        """Return how far the log is."""
        return self.events[-1].position if self.events else START

    def _stream(self, boundary: Filter, head: Position, most: int | None) -> EventStream:
        found = self.matching(boundary, above=boundary.above)
        if most is not None and len(found) > most:
            return EventStream(events=(), position=head, complete=False)
        return EventStream(events=tuple(map(copy_of, found)), position=head)

    def matching(self, boundary: Filter, *, above: int, up_to: int | None = None) -> list[RecordedEvent]:
        """Return the events of a filter above a number, and up to one. Who gives one away makes a ``copy_of`` it.

        Raises:
            HistoryArchived: Some may be archived.
        """
        self.archive.check(boundary, above=above, up_to=up_to)
        return [event for event in self.events[above:up_to] if boundary.holds(event)]

    def repeated(self, append: Append) -> Receipt | None:
        """Return the receipt of an append that is on record already; None if it is not.

        Raises:
            IdempotencyKeyReused: Its key has the receipt of another append.
        """
        if append.key is None:
            return None
        for scope in (append.scope, ""):
            if (stored := self.receipts.get((append.key, scope))) is None:
                continue
            digest, receipt = stored
            # One without a scope is from before there were any: where it names no domain, its digest tells.
            named = receipt.outcome.details.get("domain") is not None
            if not (answers_scope(receipt, append.scope) or (digest == append.digest and not named)):
                continue
            if digest != append.digest:
                raise IdempotencyKeyReused(append.key)
            return receipt.as_duplicate()
        return None

    def stored(self, key: UUID, scope: str) -> Receipt | None:
        """Return the receipt that is stored under a key and exactly this scope."""
        stored = self.receipts.get((key, scope))
        return None if stored is None else stored[1]

    def is_in_history(self, position: Position) -> bool:
        """Whether a position lies in the log, and that can be told."""
        if self.archive.holds(position):
            return False
        at = self.events[position.number - 1].position if 0 < position.number <= len(self.events) else START
        return at == position

    def check_reached(self, number: int) -> None:
        """Raise ``PositionNotReached`` if the log ends before a number."""
        if len(self.events) < number:
            raise PositionNotReached(f"the log ends at {len(self.events)}, before {number}")

    def check_history(self, position: Position) -> None:
        """Raise ``HistoryDiverged`` for a position that is not in the log, ``HistoryArchived`` if nobody can tell."""
        self.archive.check_position(position)
        if not self.is_in_history(position):
            raise HistoryDiverged(f"position {position} is not in this store's history")

    def check(self, parts: Sequence[BoundaryPart], *, up_to: int | None = None) -> None:
        """Judge a boundary.

        Args:
            parts: Its parts.
            up_to: Only events up to this number are against it.

        Raises:
            HistoryDiverged: A position of it does not lie in the log.
            HistoryArchived: A position of it, or events that are against it, may be archived.
            ConcurrencyConflict: It has an event that was not seen.
        """
        for part in parts:
            for position in part.positions:
                self.check_history(position)
        unseen = [
            (event.sequence_number, place)
            for place, part in enumerate(parts)
            for event in self.matching(part.filter, above=part.after.number)
            if not part.saw(event.sequence_number) and (up_to is None or event.sequence_number <= up_to)
        ]
        if unseen:
            number, place = min(unseen)
            event = copy_of(self.events[number - 1])
            raise ConcurrencyConflict(
                sequence_number=number,
                event_type=event.type,
                metadata=event.metadata,
                part=place,
                unseen=self._unseen([found for found, _ in unseen]) if len(parts) == 1 and up_to is None else None,
            )

    def _unseen(self, numbers: Sequence[int]) -> EventStream:
        events = tuple([copy_of(self.events[number - 1]) for number in numbers])
        return EventStream(events=events, position=self.head())

    def judged(self, append: Append, before: int, missing: Sequence[Event], *, repeats: bool) -> Receipt:
        """Judge a member of a chain.

        Args:
            append: The member.
            before: How many events there were before the chain.
            missing: The events of earlier members that were not recorded.
            repeats: Whether an earlier member has the same key.
        """
        if (repeated := self.repeated(append)) is not None:
            return repeated
        if repeats:
            raise ChainBroken("an earlier append with the same key was not recorded")
        self.check(append.parts, up_to=before)
        if any(part.filter.holds_pending(event) for part in append.parts for event in missing):
            raise ChainBroken("an earlier append that this one was decided on was not recorded")
        return self.record(append)

    def record(self, append: Append) -> Receipt:
        """Record an append that was judged."""
        token = secrets.randbits(62)
        first = len(self.events) + 1
        self.events.extend(event.recorded(number, token) for number, event in enumerate(append.events, start=first))
        receipt = Receipt(
            key=append.key,
            outcome=append.outcome,
            first=first if append.events else None,
            last=len(self.events) if append.events else None,
            position=self.head(),
            recorded_at=datetime.now(UTC) if append.key else None,
            scope=append.scope,
        )
        if append.key is not None and append.digest is not None:
            self.receipts[append.key, append.scope] = (append.digest, receipt)
        return receipt


def copy_of(event: RecordedEvent) -> RecordedEvent:
    """Whoever is given an event may do what they like with its objects; the record stays."""
    return structs.replace(
        event,
        payload=decode_object(canonical(event.payload)),
        metadata=decode_object(canonical(event.metadata)),
    )
