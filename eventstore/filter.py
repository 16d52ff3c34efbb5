"""Filters: which events matter. The filter that a decision reads by is its consistency boundary.

Build one fluently, in the order in which it reads::

    Filter.matching().any_event_type_of("BookCopyLentToReader").and_any_predicate_of(P("BookID", book))
    Filter.matching().all_predicates_of(P("BookID", book), P("ReaderID", reader))
        .or_matching().any_event_type_of("ReaderRegistered")
        .occurred_from(monday).and_occurred_until(friday)

Each step offers only what can sensibly follow; a step that completes a filter *is* that filter.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec

from eventstore.errors import InvalidFilter
from eventstore.events import Event, RecordedEvent
from eventstore.jsontext import canonical, decode_object
from eventstore.position import LAST_NUMBER
from eventstore.predicate import Predicate

__all__ = ["Filter", "FilterItem", "FilterShape", "ItemBuilder"]


class FilterShape(StrEnum):
    """What kind of question a filter asks; low in number, for metrics."""

    TYPES = "types"
    PREDICATES = "predicates"
    TYPES_AND_PREDICATES = "types_and_predicates"
    ANY = "any"

    @classmethod
    def of(cls, filters: "Iterable[Filter]") -> "FilterShape":
        """Tell what kind of question several filters ask together; the broadest item decides."""
        found = [item for each in filters for item in each.items]
        if len(found) == 1:
            return _SHAPES[not found[0].event_types, not found[0].predicates]
        shapes = {(not item.event_types, not item.predicates) for item in found}
        if (True, True) in shapes:
            return cls.ANY
        return _SHAPES[shapes.pop()] if len(shapes) == 1 else cls.TYPES_AND_PREDICATES


# By whether an item names no types, and no predicates.
_SHAPES = {
    (True, True): FilterShape.ANY,
    (False, True): FilterShape.TYPES,
    (True, False): FilterShape.PREDICATES,
    (False, False): FilterShape.TYPES_AND_PREDICATES,
}


class FilterItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One alternative: any of these types AND any (or all) of these predicates.

    Attributes:
        event_types: Sorted, without repetition; empty: any type.
        predicates: Sorted, without repetition; empty: any payload.
        all_predicates: Whether every predicate must hold, instead of one.
    """

    event_types: tuple[str, ...] = ()
    predicates: tuple[Predicate, ...] = ()
    all_predicates: bool = False

    @property
    def predicates_needed(self) -> int:
        """How many of the predicates an event must fulfil."""
        if self.all_predicates:
            return len(self.predicates)
        return 1 if self.predicates else 0

    @property
    def fragments(self) -> tuple[str, ...]:
        """The predicates' JSON."""
        return tuple([predicate.fragment for predicate in self.predicates])

    def matches(self, event_type: str, payload: Mapping[str, Any]) -> bool:
        """Tell whether an event of this type and payload fulfils the item."""
        if self.event_types and event_type not in self.event_types:
            return False
        if not self.predicates:
            return True
        # All are needed, or one: the first that says otherwise decides.
        for predicate in self.predicates:
            if predicate.matches(payload) is not self.all_predicates:
                return not self.all_predicates
        return self.all_predicates


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
        return FilterShape.of([self])

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
        return OpenFilter((*before, _item_of(last.event_types, _distinct(predicates), needs_all=needs_all)))


class PredicatesFilter(OpenFilter, frozen=True, gc=False):
    """A filter whose last alternative names predicates only, so far."""

    def and_any_event_type_of(self, first: str, *others: str) -> OpenFilter:
        """Narrow the alternative to events of these types."""
        *before, last = self.items
        item = _item_of(_types((first, *others)), last.predicates, needs_all=last.all_predicates)
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
        return TypesFilter((*self._before, _item_of(_types((first, *others)), (), needs_all=False)))

    def any_predicate_of(self, first: Predicate, *others: Predicate) -> PredicatesFilter:
        """Match events that fulfil one of these predicates or more."""
        return PredicatesFilter((*self._before, _item_of((), _distinct((first, *others)), needs_all=False)))

    def all_predicates_of(self, first: Predicate, *others: Predicate) -> PredicatesFilter:
        """Match events that fulfil all of these predicates."""
        return PredicatesFilter((*self._before, _item_of((), _distinct((first, *others)), needs_all=True)))


def _item_of(types: tuple[str, ...], predicates: tuple[Predicate, ...], *, needs_all: bool) -> FilterItem:
    # One predicate is both "any" and "all" of itself; equal questions must have one form.
    return FilterItem(event_types=types, predicates=predicates, all_predicates=needs_all and len(predicates) > 1)


def _types(named: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return _checked_types(named)
    except TypeError:  # one that cannot be hashed is no string
        return _checked_types.__wrapped__(named)


# Views name the same types for each of their keys.
@lru_cache(maxsize=1024)
def _checked_types(named: tuple[str, ...]) -> tuple[str, ...]:
    """Return event types in their one form: sorted, each once.

    Raises:
        InvalidFilter: One is no event type.
    """
    plain: set[str] = set()
    for event_type in named:
        if isinstance(event_type, type):
            name = event_type.__name__
            raise InvalidFilter(
                f"an event type is named by a string: write {name!r}, or {name}.__name__, not the class"
            )
        if not isinstance(event_type, str) or not event_type or "\x00" in event_type:
            raise InvalidFilter(f"an event type is a string without NUL characters, not {event_type!r}")
        try:
            event_type.encode()
        except UnicodeEncodeError:
            raise InvalidFilter(f"the event type {event_type!r} contains a lone surrogate") from None
        # Of an enumeration, which is equal to its value, the value.
        plain.add(str.__str__(event_type))
    return tuple(sorted(plain))


def _distinct(predicates: tuple[Predicate, ...]) -> tuple[Predicate, ...]:
    """Return predicates in their one form: sorted, each once.

    Raises:
        InvalidFilter: One is no predicate.
    """
    for predicate in predicates:
        if not isinstance(predicate, Predicate):
            raise InvalidFilter(f"a predicate is made with P(key, value); {predicate!r} is none")
    if len(predicates) == 1:
        return predicates
    return tuple(sorted(set(predicates), key=lambda predicate: predicate.fragment))


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise InvalidFilter(f"the time {moment} needs a time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidFilter(f"the time {moment} lies outside the calendar") from None
