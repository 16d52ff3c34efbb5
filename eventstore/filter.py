"""Filters select events. The filter that a decision reads by is its consistency boundary.

Build one fluently, in the order in which it reads::

    Filter.matching().any_event_type_of("BookCopyLentToReader").and_any_predicate_of(P("BookID", book))
    Filter.matching().all_predicates_of(P("BookID", book), P("ReaderID", reader))
        .or_matching().any_event_type_of("ReaderRegistered")
        .occurred_from(monday).and_occurred_until(friday)

Each step offers only what can follow it; a step that completes a filter returns that filter.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from eventstore.errors import InvalidFilter
from eventstore.events import Event, RecordedEvent
from eventstore.filter_item import FilterItem, FilterShape, checked_predicates, checked_types
from eventstore.jsontext import canonical, decode_object
from eventstore.position import LAST_NUMBER
from eventstore.predicate import Predicate

__all__ = ["Filter", "ItemBuilder"]

# The beginnings of the names of all steps.
_STEPS = ("any_", "all_", "and_", "or_", "occurred_", "sequence_")


class Filter(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One or more items, combined by OR, optionally bounded by time or by sequence number.

    Equal questions are equal filters with one digest, whatever the order of their parts.

    Attributes:
        items: The alternatives in the order given; an item without conditions matches any event.
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
        """A digest of 16 bytes; equal filters have the same one in every process and release."""
        items = sorted(
            [list(item.event_types), list(item.fragments), item.predicates_needed] for item in set(self.items)
        )
        times = [moment and moment.isoformat() for moment in (self.since, self.until)]
        return hashlib.blake2b(canonical([items, times, self.above]), digest_size=16).digest()

    @property
    def shape(self) -> FilterShape:
        """The kind of question that this filter asks; the broadest item decides."""
        return FilterShape.of(self.items)

    @property
    def predicates(self) -> frozenset[Predicate]:
        """All predicates of all items."""
        return frozenset(predicate for item in self.items for predicate in item.predicates)

    def matches(
        self, *, event_type: str, payload: Mapping[str, Any], occurred_at: datetime, sequence_number: int
    ) -> bool:
        """Return whether an event matches this filter. Every engine follows this definition."""
        if (
            sequence_number <= self.above
            or (self.since is not None and occurred_at < self.since)
            or (self.until is not None and occurred_at > self.until)
        ):
            return False
        for item in self.items:  # noqa: SIM110  this runs for each event and part: a generator would double its cost
            if item.matches(event_type, payload):
                return True
        return False

    def holds(self, event: RecordedEvent) -> bool:
        """Return whether a recorded event matches this filter."""
        return self.matches(
            event_type=event.type,
            payload=event.payload,
            occurred_at=event.occurred_at,
            sequence_number=event.sequence_number,
        )

    def holds_pending(self, event: Event) -> bool:
        """Return whether an event that is about to be recorded will match this filter.

        It has no sequence number yet, so no bound on the number excludes it.
        """
        return self.matches(
            event_type=event.type,
            payload=decode_object(event.payload_text),
            occurred_at=event.occurred_at,
            sequence_number=LAST_NUMBER,
        )

    def narrowed_above(self, number: int) -> "Filter":
        """Return this filter without events up to and including ``number``, which may lie beyond the log's end."""
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

    if not TYPE_CHECKING:  # type checkers know the steps, and must report a wrong one

        def __getattr__(self, name: str) -> object:
            raise AttributeError(_no_step(self, name))


class UnboundedFilter(Filter, frozen=True, gc=False):
    """A complete filter that can still be bounded."""

    def occurred_from(self, since: datetime) -> "SinceFilter":
        """Exclude events that occurred before ``since``, a time with a zone; inclusive."""
        return SinceFilter(self.items, since=_aware(since))

    def occurred_until(self, until: datetime) -> Filter:
        """Exclude events that occurred after ``until``, a time with a zone; inclusive."""
        return Filter(self.items, until=_aware(until))

    def sequence_number_higher_than(self, number: int) -> Filter:
        """Exclude events up to and including the sequence number ``number``, 0 or more."""
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= LAST_NUMBER:
            raise InvalidFilter(f"a sequence number's bound is an integer from 0 to {LAST_NUMBER}, not {number!r}")
        return Filter(self.items, above=number)


class OpenFilter(UnboundedFilter, frozen=True, gc=False):
    """A complete filter that can still get more alternatives."""

    def or_matching(self) -> "ItemBuilder":
        """Begin another alternative."""
        return ItemBuilder(self.items)


class TypesFilter(OpenFilter, frozen=True, gc=False):
    """A filter whose last alternative so far names event types only."""

    def and_any_predicate_of(self, first: Predicate, *others: Predicate) -> OpenFilter:
        """Narrow the alternative to events that fulfil at least one of these predicates."""
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
    """A filter whose last alternative so far names predicates only."""

    def and_any_event_type_of(self, first: str, *others: str) -> OpenFilter:
        """Narrow the alternative to events of these types."""
        *before, last = self.items
        item = FilterItem.of(checked_types((first, *others)), last.predicates, needs_all=last.all_predicates)
        return OpenFilter((*before, item))


class SinceFilter(Filter, frozen=True, gc=False):
    """A filter with an earliest time, which can still get a latest one."""

    def and_occurred_until(self, until: datetime) -> Filter:
        """Also exclude events that occurred after ``until``, a time with a zone; inclusive.

        Raises:
            InvalidFilter: ``until`` has no time zone, or lies before the earliest time, so that no event could match.
        """
        if self.since is not None and _aware(until) < self.since:
            raise InvalidFilter(f"no event can occur from {self.since} until {until}")
        return Filter(self.items, since=self.since, until=_aware(until))


@dataclass(frozen=True, slots=True)
class ItemBuilder:
    """An alternative that has no conditions yet; it is not a filter."""

    _before: tuple[FilterItem, ...]

    def any_event_type_of(self, first: str, *others: str) -> TypesFilter:
        """Match events of these types."""
        return TypesFilter((*self._before, FilterItem.of(checked_types((first, *others)), (), needs_all=False)))

    def any_predicate_of(self, first: Predicate, *others: Predicate) -> PredicatesFilter:
        """Match events that fulfil at least one of these predicates."""
        return self._matching((first, *others), needs_all=False)

    def all_predicates_of(self, first: Predicate, *others: Predicate) -> PredicatesFilter:
        """Match events that fulfil all of these predicates."""
        return self._matching((first, *others), needs_all=True)

    if not TYPE_CHECKING:  # as above

        def __getattr__(self, name: str) -> object:
            raise AttributeError(_no_step(self, name))

    def _matching(self, predicates: tuple[Predicate, ...], *, needs_all: bool) -> PredicatesFilter:
        return PredicatesFilter((*self._before, FilterItem.of((), checked_predicates(predicates), needs_all=needs_all)))


def _no_step(begun: object, name: str) -> str:
    """Return why an attribute is missing; for a step that cannot follow, those that can."""
    if not name.startswith(_STEPS):
        return f"{type(begun).__name__!r} object has no attribute {name!r}"
    following = [step for step in dir(begun) if step.startswith(_STEPS)]
    told = f"it goes on with {', '.join(following)}" if following else "it is complete"
    return f"{name} cannot follow at this place of a filter: {told}"


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise InvalidFilter(f"the time {moment} needs a time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidFilter(f"the time {moment} lies outside the calendar") from None
