"""Filters: which events matter. The filter that a decision reads by is its consistency boundary.

Build one fluently, in the order in which it reads::

    Filter.matching().any_event_type_of("BookCopyLentToReader").and_any_predicate_of(P("BookID", book))
    Filter.matching().all_predicates_of(P("BookID", book), P("ReaderID", reader))
        .or_matching().any_event_type_of("ReaderRegistered")
        .occurred_from(monday).and_occurred_until(friday)

Each step offers only what can sensibly follow; a step that completes a filter *is* that filter.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from eventstore.errors import InvalidFilter
from eventstore.events import Event, RecordedEvent
from eventstore.filter_item import FilterItem, FilterShape, checked_predicates, checked_types
from eventstore.jsontext import canonical, decode_object
from eventstore.position import LAST_NUMBER
from eventstore.predicate import Predicate

__all__ = ["Filter", "ItemBuilder"]


class Filter(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One or more items, OR-ed, optionally bounded by time or by sequence number.

    Equal questions are equal filters and have one digest, in whatever order their parts were named.

    Attributes:
        items: The alternatives, as they were named; an item without conditions matches any event.
        since: The earliest ``occurred_at``, inclusive, or None.
        until: The latest ``occurred_at``, inclusive, or None.
        above: Only events with a higher sequence number match; 0 for no bound.
    """

    items: tuple[FilterItem, ...]
    since: datetime | None = None
    until: datetime | None = None
    above: int = 0

    @staticmethod
    def matching() -> "ItemBuilder":
        """Begin a filter."""
        return ItemBuilder(())

    @staticmethod
    def matching_any_event() -> "UnboundedFilter":
        """Match every event."""
        return UnboundedFilter((FilterItem(),))

    @property
    def digest(self) -> bytes:
        """16 bytes that are the same for equal filters, in every process and release."""
        items = sorted(
            [list(item.event_types), list(item.fragments), item.predicates_needed] for item in set(self.items)
        )
        times = [moment and moment.isoformat() for moment in (self.since, self.until)]
        return hashlib.blake2b(canonical([items, times, self.above]), digest_size=16).digest()

    @property
    def shape(self) -> FilterShape:
        """What kind of question this is; the broadest item decides."""
        return FilterShape.of(self.items)

    @property
    def predicates(self) -> frozenset[Predicate]:
        """Every predicate that any item names."""
        return frozenset(predicate for item in self.items for predicate in item.predicates)

    def matches(
        self, *, event_type: str, payload: Mapping[str, Any], occurred_at: datetime, sequence_number: int
    ) -> bool:
        """Tell whether an event lies within this filter. This is the definition that every engine follows."""
        if (
            sequence_number <= self.above
            or (self.since is not None and occurred_at < self.since)
            or (self.until is not None and occurred_at > self.until)
        ):
            return False
        for item in self.items:  # noqa: SIM110  it is asked for each event and part: a generator costs as much again
            if item.matches(event_type, payload):
                return True
        return False

    def holds(self, event: RecordedEvent) -> bool:
        """Tell whether a recorded event lies within this filter."""
        return self.matches(
            event_type=event.type,
            payload=event.payload,
            occurred_at=event.occurred_at,
            sequence_number=event.sequence_number,
        )

    def holds_pending(self, event: Event) -> bool:
        """Tell whether an event that is about to be recorded will lie within this filter.

        It has no number yet, so that no bound on the number can leave it out.
        """
        return self.matches(
            event_type=event.type,
            payload=decode_object(event.payload_text),
            occurred_at=event.occurred_at,
            sequence_number=LAST_NUMBER,
        )

    def narrowed_above(self, number: int) -> "Filter":
        """Return this filter without the events up to and including ``number``, which may lie beyond all of them."""
        if number <= self.above:
            return self
        return Filter(self.items, since=self.since, until=self.until, above=min(number, LAST_NUMBER))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Filter):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[object, ...]:
        return frozenset(self.items), self.since, self.until, self.above


class UnboundedFilter(Filter, frozen=True, gc=False):
    """A complete filter that may still be bounded."""

    def occurred_from(self, since: datetime) -> "SinceFilter":
        """Leave out events that occurred before ``since`` (a time with a zone; inclusive)."""
        return SinceFilter(self.items, since=_aware(since))

    def occurred_until(self, until: datetime) -> Filter:
        """Leave out events that occurred after ``until`` (a time with a zone; inclusive)."""
        return Filter(self.items, until=_aware(until))

    def sequence_number_higher_than(self, number: int) -> Filter:
        """Leave out events up to and including ``number`` (0 or more)."""
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= LAST_NUMBER:
            raise InvalidFilter(f"a sequence number's bound is an integer from 0 to {LAST_NUMBER}, not {number!r}")
        return Filter(self.items, above=number)


class OpenFilter(UnboundedFilter, frozen=True, gc=False):
    """A complete filter that may still get further alternatives."""

    def or_matching(self) -> "ItemBuilder":
        """Begin a further alternative."""
        return ItemBuilder(self.items)


class TypesFilter(OpenFilter, frozen=True, gc=False):
    """A filter whose last alternative names event types only, so far."""

    def and_any_predicate_of(self, first: Predicate, *others: Predicate) -> OpenFilter:
        """Narrow the alternative to events that fulfil one of these predicates or more."""
        return self._narrowed((first, *others), needs_all=False)

    def and_all_predicates_of(self, first: Predicate, *others: Predicate) -> OpenFilter:
        """Narrow the alternative to events that fulfil all of these predicates."""
        return self._narrowed((first, *others), needs_all=True)

    def _narrowed(self, predicates: tuple[Predicate, ...], *, needs_all: bool) -> OpenFilter:
        *before, last = self.items
        return OpenFilter(
            (*before, FilterItem.of(last.event_types, checked_predicates(predicates), needs_all=needs_all))
        )


class PredicatesFilter(OpenFilter, frozen=True, gc=False):
    """A filter whose last alternative names predicates only, so far."""

    def and_any_event_type_of(self, first: str, *others: str) -> OpenFilter:
        """Narrow the alternative to events of these types."""
        *before, last = self.items
        item = FilterItem.of(checked_types((first, *others)), last.predicates, needs_all=last.all_predicates)
        return OpenFilter((*before, item))


class SinceFilter(Filter, frozen=True, gc=False):
    """A filter with an earliest time, which may still get a latest one."""

    def and_occurred_until(self, until: datetime) -> Filter:
        """Leave out events that occurred after ``until`` as well (inclusive).

        Raises:
            InvalidFilter: It lies before the earliest time, so that nothing could ever match.
        """
        if self.since is not None and _aware(until) < self.since:
            raise InvalidFilter(f"no event can occur from {self.since} until {until}")
        return Filter(self.items, since=self.since, until=_aware(until))


@dataclass(frozen=True, slots=True)
class ItemBuilder:
    """An alternative about to be named; not yet a filter."""

    _before: tuple[FilterItem, ...]

    def any_event_type_of(self, first: str, *others: str) -> TypesFilter:
        """Match events of these types."""
        return TypesFilter((*self._before, FilterItem.of(checked_types((first, *others)), (), needs_all=False)))

    def any_predicate_of(self, first: Predicate, *others: Predicate) -> PredicatesFilter:
        """Match events that fulfil one of these predicates or more."""
        return self._matching((first, *others), needs_all=False)

    def all_predicates_of(self, first: Predicate, *others: Predicate) -> PredicatesFilter:
        """Match events that fulfil all of these predicates."""
        return self._matching((first, *others), needs_all=True)

    def _matching(self, predicates: tuple[Predicate, ...], *, needs_all: bool) -> PredicatesFilter:
        return PredicatesFilter((*self._before, FilterItem.of((), checked_predicates(predicates), needs_all=needs_all)))


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise InvalidFilter(f"the time {moment} needs a time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidFilter(f"the time {moment} lies outside the calendar") from None
