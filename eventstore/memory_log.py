"""The in-memory log: events and receipts, and the rules for checking and recording appends."""

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
from eventstore.jsontext import canonical, read_back
from eventstore.memory_archive import MemoryArchive
from eventstore.position import START, Position
from eventstore.question import Question
from eventstore.receipt import Receipt, answers_scope
from eventstore.stream import EventStream

__all__ = ["MemoryLog", "copy_of", "new_token"]


class MemoryLog:
    """The recorded events and receipts. No method waits: each call is one transaction.

    Attributes:
        events: The recorded events, in order.
        receipts: The receipts with their digests, by key and scope.
        archive: The archived ranges, whose events can no longer be read.
    """

    def __init__(self) -> None:
        self.events: list[RecordedEvent] = []
        self.receipts: dict[tuple[UUID, str], tuple[bytes, Receipt]] = {}
        self.archive = MemoryArchive()

    def answered(self, question: Question) -> list[EventStream]:
        """Answer a question. Raises like ``check_history``, and ``HistoryArchived``."""
        head = self.head()
        self.archive.check_question(question)
        for position in question.positions:
            self.check_history(position)
        return [self._stream(each, head, question.most) for each in question.filters]

    def chained(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        """Record a chain: each member is checked on top of those before it."""
        before = len(self.events)
        token = new_token()
        missing: list[Event] = []
        keys: set[tuple[UUID | None, str]] = set()
        found: list[Receipt | EventStoreError] = []
        for append in appends:
            repeats = (append.key, append.scope) in keys
            keys.add((append.key, append.scope))
            try:
                answer = self.judged(append, before, missing, token, repeats=repeats)
            except HistoryArchived as error:
                # As for every position that lies far below the head: a read finds out.
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
        """Return the position of the last event, or ``START`` for an empty log."""
        return self.events[-1].position if self.events else START

    def _stream(self, boundary: Filter, head: Position, most: int | None) -> EventStream:
        found = self.matching(boundary, above=boundary.above)
        if most is not None and len(found) > most:
            return EventStream(events=(), position=head, complete=False)
        return EventStream(events=tuple(map(copy_of, found)), position=head)

    def matching(self, boundary: Filter, *, above: int, up_to: int | None = None) -> list[RecordedEvent]:
        """Return the events of a filter above a sequence number, up to and including ``up_to``.

        The caller hands out only a ``copy_of`` each event.

        Raises:
            HistoryArchived: A matching event may be archived.
        """
        self.archive.check(boundary, above=above, up_to=up_to)
        return [event for event in self.events[above:up_to] if boundary.holds(event)]

    def repeated(self, append: Append) -> Receipt | None:
        """Return the receipt of an append that was recorded before; None if there is none.

        Raises:
            IdempotencyKeyReused: The key has a receipt of a request with another digest.
        """
        if append.key is None:
            return None
        for scope in (append.scope, ""):
            if (stored := self.receipts.get((append.key, scope))) is None:
                continue
            digest, receipt = stored
            # A receipt without a scope was written before scopes existed: if it names no domain, its digest decides.
            named = receipt.outcome.details.get("domain") is not None
            if not (answers_scope(receipt, append.scope) or (digest == append.digest and not named)):
                continue
            if digest != append.digest:
                raise IdempotencyKeyReused(append.key)
            return receipt.as_duplicate()
        return None

    def stored(self, key: UUID, scope: str) -> Receipt | None:
        """Return the receipt that is stored under a key and exactly this scope, or None."""
        stored = self.receipts.get((key, scope))
        return None if stored is None else stored[1]

    def is_in_history(self, position: Position) -> bool:
        """Return whether a position lies in the log; False if it is archived and cannot be verified."""
        if self.archive.holds(position):
            return False
        at = self.events[position.number - 1].position if 0 < position.number <= len(self.events) else START
        return at == position

    def check_reached(self, number: int) -> None:
        """Raise ``PositionNotReached`` if the log ends before a sequence number."""
        if len(self.events) < number:
            raise PositionNotReached(f"the log ends at {len(self.events)}, before {number}")

    def check_history(self, position: Position) -> None:
        """Raise ``HistoryDiverged`` for a position that is not in the log, ``HistoryArchived`` for an archived one."""
        self.archive.check_position(position)
        if not self.is_in_history(position):
            raise HistoryDiverged(f"position {position} is not in this store's history")

    def check(self, parts: Sequence[BoundaryPart], *, up_to: int | None = None) -> None:
        """Check a boundary for conflicts.

        Args:
            parts: The boundary's parts.
            up_to: The last sequence number whose events count as conflicts; None for all events.

        Raises:
            HistoryDiverged: A position of a part does not lie in the log.
            HistoryArchived: A position of a part, or an event that would be a conflict, may be archived.
            ConcurrencyConflict: A part matches an event that its reader has not seen.
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

    def judged(self, append: Append, before: int, missing: Sequence[Event], token: int, *, repeats: bool) -> Receipt:
        """Check a member of a chain and record it, or return its earlier receipt.

        Args:
            append: The member.
            before: The number of events in the log before the chain.
            missing: The events of earlier members that were not recorded.
            token: The token of the chain's transaction.
            repeats: Whether an earlier member has the same key and scope.
        """
        if (repeated := self.repeated(append)) is not None:
            return repeated
        if repeats:
            raise ChainBroken("an earlier append with the same key was not recorded")
        self.check(append.parts, up_to=before)
        if any(part.filter.holds_pending(event) for part in append.parts for event in missing):
            raise ChainBroken("an earlier append that this one was decided on was not recorded")
        return self.record(append, token)

    def record(self, append: Append, token: int) -> Receipt:
        """Record an append that was checked, with the token of its transaction, and return its receipt."""
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


def new_token() -> int:
    """Return a token for the events of a transaction."""
    return secrets.randbits(62)


def copy_of(event: RecordedEvent) -> RecordedEvent:
    """Return a copy that the caller may change without changing the log."""
    return structs.replace(
        event,
        payload=read_back(canonical(event.payload)),
        metadata=read_back(canonical(event.metadata)),
    )
