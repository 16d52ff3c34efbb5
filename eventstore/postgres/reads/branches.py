"""Branches: a filter as the flat alternatives that the reading statements take."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

import msgspec

from eventstore.filter import Filter
from eventstore.filter_item import FilterItem
from eventstore.jsontext import canonical
from eventstore.postgres.arrays import moment_array, name_array, number_array

__all__ = ["Branch", "branches_of", "columns", "is_period", "matches_any", "types_of"]


class Branch(msgspec.Struct, frozen=True, gc=False):
    """One alternative: any of the types AND all fields of the object. Each any-of predicate of a filter makes one.

    Attributes:
        types: A JSON array of event types, or None for any type.
        contained: A JSON object that the payload must contain, or None for any payload.
        fields: The number of fields in that object.
        above: Only events with a higher sequence number match.
        since: Only events that occurred at this time or later match; None for no bound.
        until: Only events that occurred at this time or earlier match; None for no bound.
        walked: Whether to walk along the end of the log, if it is near enough, instead of using the indexes; by default
            False.
    """

    types: str | None
    contained: str | None
    fields: int
    above: int
    since: datetime | None
    until: datetime | None
    walked: bool = False

    @property
    def is_indexed(self) -> bool:
        """Whether the index on the payload or on the type finds the branch's events."""
        return not self.walked and (self.types is not None or self.contained is not None)


def branches_of(boundary: Filter, *, walked: bool = False) -> tuple[Branch, ...]:
    """Flatten a filter. The result is empty if no event can match, since one field cannot have two values."""
    if matches_any(boundary):
        return (Branch(None, None, 0, boundary.above, boundary.since, boundary.until),)
    above, since, until = boundary.above, boundary.since, boundary.until
    found = []
    for item in boundary.items:
        types = _types(item.event_types)
        for contained, fields in _contained(item):
            found.append(Branch(types, contained, fields, above, since, until, walked))
    return tuple(found)


def matches_any(boundary: Filter) -> bool:
    """Whether a filter has an alternative without conditions on type or payload; only its bounds narrow it."""
    for item in boundary.items:  # noqa: SIM110  a generator would double the cost
        if not item.event_types and not item.predicates:
            return True
    return False


def is_period(boundary: Filter) -> bool:
    """Whether a filter is bounded in time and has no predicates: only the index on the time may help then."""
    if boundary.since is None and boundary.until is None:
        return False
    return not any(item.predicates for item in boundary.items)


def types_of(boundary: Filter) -> list[str] | None:
    """Return all types that a filter without predicates names, or None for any type."""
    if matches_any(boundary):
        return None
    return sorted({name for item in boundary.items for name in item.event_types})


def columns(branches: Sequence[Branch]) -> tuple[object, ...]:
    """Build the parameters of the reading statements: types, objects, fields, above, since, until."""
    return (
        name_array([branch.types for branch in branches]),
        [branch.contained for branch in branches],
        number_array([branch.fields for branch in branches]),
        number_array([branch.above for branch in branches]),
        moment_array([branch.since for branch in branches]),
        moment_array([branch.until for branch in branches]),
    )


# Cached: a program has few event types, and asks for the same ones again and again.
@lru_cache(1024)
def _types(event_types: tuple[str, ...]) -> str | None:
    return canonical(event_types).decode() if event_types else None


def _contained(item: FilterItem) -> Sequence[tuple[str | None, int]]:
    """Return the objects that the payload must contain: one for all predicates together, or one for each."""
    if not item.predicates:
        return ((None, 0),)
    if not item.all_predicates:
        return [(predicate.fragment, 1) for predicate in item.predicates]
    if len({predicate.key for predicate in item.predicates}) < len(item.predicates):
        return ()
    together = ",".join(fragment[1:-1] for fragment in item.fragments)
    return (("{" + together + "}", len(item.predicates)),)
