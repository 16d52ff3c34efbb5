"""The filter item: one alternative of a filter."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, Self

import msgspec

from eventstore.errors import InvalidFilter
from eventstore.predicate import Predicate

__all__ = ["FilterItem", "FilterShape", "checked_predicates", "checked_types"]


class FilterShape(StrEnum):
    """The kind of question that a filter asks; few values, for metric labels."""

    TYPES = "types"
    PREDICATES = "predicates"
    TYPES_AND_PREDICATES = "types_and_predicates"
    ANY = "any"

    @classmethod
    def of(cls, items: "Sequence[FilterItem]") -> "FilterShape":
        """Return the shape of several items together; the broadest decides."""
        if len(items) == 1:
            return _SHAPES[not items[0].event_types, not items[0].predicates]
        shapes = {(not item.event_types, not item.predicates) for item in items}
        if (True, True) in shapes:
            return cls.ANY
        return _SHAPES[shapes.pop()] if len(shapes) == 1 else cls.TYPES_AND_PREDICATES


# Keyed by whether an item has no types, and whether it has no predicates.
_SHAPES = {
    (True, True): FilterShape.ANY,
    (False, True): FilterShape.TYPES,
    (True, False): FilterShape.PREDICATES,
    (False, False): FilterShape.TYPES_AND_PREDICATES,
}


class FilterItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One alternative: any of these types AND any (or all) of these predicates.

    Attributes:
        event_types: Event types, sorted and distinct; empty for any type.
        predicates: Predicates, sorted and distinct; empty for any payload.
        all_predicates: Whether an event must fulfil every predicate instead of at least one.
    """

    event_types: tuple[str, ...] = ()
    predicates: tuple[Predicate, ...] = ()
    all_predicates: bool = False

    @classmethod
    def of(cls, types: tuple[str, ...], predicates: tuple[Predicate, ...], *, needs_all: bool) -> Self:
        """Make an item from the results of ``checked_types`` and ``checked_predicates``."""
        # With one predicate "any" and "all" mean the same; equal questions must have one form.
        return cls(event_types=types, predicates=predicates, all_predicates=needs_all and len(predicates) > 1)

    @property
    def predicates_needed(self) -> int:
        """The number of predicates that an event must fulfil."""
        if self.all_predicates:
            return len(self.predicates)
        return 1 if self.predicates else 0

    @property
    def fragments(self) -> tuple[str, ...]:
        """The JSON fragment of each predicate."""
        return tuple([predicate.fragment for predicate in self.predicates])

    def matches(self, event_type: str, payload: Mapping[str, Any]) -> bool:
        """Return whether an event of this type and payload matches the item."""
        if self.event_types and event_type not in self.event_types:
            return False
        if not self.predicates:
            return True
        # With "all", the first predicate that fails decides; with "any", the first that holds.
        for predicate in self.predicates:
            if predicate.matches(payload) is not self.all_predicates:
                return not self.all_predicates
        return self.all_predicates


def checked_types(named: tuple[str, ...]) -> tuple[str, ...]:
    """Return event types in canonical form: sorted and distinct.

    Raises:
        InvalidFilter: A name is no string, is empty, or has a NUL character or a lone surrogate.
    """
    try:
        return _sorted_types(named)
    except TypeError:  # an unhashable argument is no string; the uncached function reports it
        return _sorted_types.__wrapped__(named)


# Cached: views name the same types for each of their keys.
@lru_cache(maxsize=1024)
def _sorted_types(named: tuple[str, ...]) -> tuple[str, ...]:
    plain: set[str] = set()
    for event_type in named:
        if isinstance(event_type, type):
            name = event_type.__name__
            raise InvalidFilter(
                f"an event type is named by a string: write {name!r}, or {name}.__name__, not the class"
            )
        if isinstance(event_type, list | tuple | set | frozenset):
            raise InvalidFilter("event types are named one after the other, not in a list: leave out its brackets")
        if not isinstance(event_type, str) or not event_type or "\x00" in event_type:
            raise InvalidFilter(f"an event type is a string without NUL characters, not {event_type!r}")
        try:
            event_type.encode()
        except UnicodeEncodeError:
            raise InvalidFilter(f"the event type {event_type!r} contains a lone surrogate") from None
        # The plain value of a string enumeration, which equals its member.
        plain.add(str.__str__(event_type))
    return tuple(sorted(plain))


def checked_predicates(predicates: tuple[Predicate, ...]) -> tuple[Predicate, ...]:
    """Return predicates in canonical form: sorted and distinct.

    Raises:
        InvalidFilter: An argument is no ``Predicate``.
    """
    for predicate in predicates:
        if not isinstance(predicate, Predicate):
            raise InvalidFilter(f"a predicate is made with P(key, value); {predicate!r} is none")
    if len(predicates) == 1:
        return predicates
    return tuple(sorted(set(predicates), key=lambda predicate: predicate.fragment))
