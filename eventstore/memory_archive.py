"""Archived ranges in memory: summaries of events that can no longer be read, and the reads that do not need them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from eventstore.errors import HistoryArchived
from eventstore.events import RecordedEvent
from eventstore.filter import Filter
from eventstore.position import Position
from eventstore.predicate import P
from eventstore.question import Question

__all__ = ["MemoryArchive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Summary:
    """The summary of an archived range: if it rules a filter out, no event of the range matches."""

    first: int
    last: int
    types: frozenset[str]
    fields: frozenset[str]
    since: datetime
    until: datetime

    def may_match(self, boundary: Filter, above: int, up_to: int | None) -> bool:
        if max(above, boundary.above) >= self.last or (up_to is not None and up_to < self.first):
            return False
        if boundary.since is not None and boundary.since > self.until:
            return False
        if boundary.until is not None and boundary.until < self.since:
            return False
        for item in boundary.items:
            if item.event_types and self.types.isdisjoint(item.event_types):
                continue
            if item.all_predicates and len({each.key for each in item.predicates}) < len(item.predicates):
                continue  # no event has two values in one field
            if sum(fragment in self.fields for fragment in item.fragments) >= item.predicates_needed:
                return True
        return False


class MemoryArchive:
    """The archived ranges of a log; together they are a prefix of it."""

    def __init__(self) -> None:
        self._summaries: list[_Summary] = []

    @property
    def last(self) -> int:
        """The last archived sequence number, 0 if there is none."""
        return self._summaries[-1].last if self._summaries else 0

    def add(self, events: Sequence[RecordedEvent]) -> None:
        """Archive the next range of events."""
        self._summaries.append(
            _Summary(
                first=events[0].sequence_number,
                last=events[-1].sequence_number,
                types=frozenset([event.type for event in events]),
                fields=frozenset(
                    [
                        P(key, value).fragment
                        for event in events
                        for key, value in event.payload.items()
                        if isinstance(value, str | bool | int | Decimal)
                    ]
                ),
                since=min([event.occurred_at for event in events]),
                until=max([event.occurred_at for event in events]),
            )
        )

    def remove(self) -> None:
        """Restore the range that was archived last."""
        self._summaries.pop()

    def holds(self, position: Position) -> bool:
        """Return whether a position is archived, so that it cannot be verified against this history."""
        return 0 < position.number < self.last and all(each.last != position.number for each in self._summaries)

    def check_position(self, position: Position, places: tuple[int, ...] = ()) -> None:
        """Raise ``HistoryArchived`` if a position is archived."""
        if self.holds(position):
            found = next(each for each in self._summaries if each.last >= position.number)
            raise HistoryArchived(first=found.first, last=found.last, places=places, position=position.number)

    def check(self, boundary: Filter, *, above: int, up_to: int | None = None) -> None:
        """Raise ``HistoryArchived`` if a filter may match an archived event above a sequence number."""
        for each in self._summaries:
            if each.may_match(boundary, above, up_to):
                raise HistoryArchived(first=each.first, last=each.last, places=(0,))

    def check_question(self, question: Question) -> None:
        """Raise ``HistoryArchived`` if a part of a question cannot be answered."""
        for position in question.positions:
            if position not in question.after:
                self.check_position(position)
        unknown = {place: seen for place, seen in enumerate(question.after) if self.holds(seen)}
        lacking = [
            (each, place)
            for place, boundary in enumerate(question.filters)
            for each in self._summaries
            if each.may_match(boundary, boundary.above, None)
        ]
        places = tuple(sorted({*unknown, *(place for _, place in lacking)}))
        for seen in unknown.values():
            self.check_position(seen, places)
        if lacking:
            each = min([each for each, _ in lacking], key=lambda each: each.first)
            raise HistoryArchived(first=each.first, last=each.last, places=places)
