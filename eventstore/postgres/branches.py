"""Branches: a filter as the flat alternatives that the reading statements take."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from eventstore.filter import Filter
from eventstore.jsontext import canonical
from eventstore.predicate import Predicate

__all__ = ["Branch", "branches_of", "columns", "matches_any"]


@dataclass(frozen=True, slots=True)
class Branch:
    """One alternative: any of these types AND all that the object says. A filter's any-of predicates make one each.

    Attributes:
        types: A JSON array of event types, or None for any.
        contained: A JSON object that the payload must contain, or None for any payload.
        fields: How many fields that object has.
        above: Only events with a higher number.
        since: Only events that occurred at that time or later, or None.
        until: Only events that occurred at that time or earlier, or None.
        walked: Whether to look along the log's end, if that is near enough, instead of by the indexes.
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
        """Whether it is found by the index on the payload, or the one on the type."""
        return not self.walked and (self.types is not None or self.contained is not None)


def branches_of(boundary: Filter, *, walked: bool = False) -> tuple[Branch, ...]:
    """Flatten a filter. Without a branch, nothing can match: one field cannot have two values."""
    if matches_any(boundary):
        return (Branch(None, None, 0, boundary.above, boundary.since, boundary.until),)
    return tuple(
        Branch(
            canonical(item.event_types).decode() if item.event_types else None,
            contained,
            fields,
            boundary.above,
            boundary.since,
            boundary.until,
            walked,
        )
        for item in boundary.items
        for contained, fields in _contained(item.predicates, together=item.all_predicates)
    )


def matches_any(boundary: Filter) -> bool:
    """Whether a filter says nothing of types and payloads; what else it says, it says of whole stretches of the log."""
    return not all(item.event_types or item.predicates for item in boundary.items)


def columns(branches: Iterable[Branch]) -> tuple[list[object], ...]:
    """Lay branches out as the parameters of the reading statements: types, objects, fields, above, since, until."""
    rows = [
        (branch.types, branch.contained, branch.fields, branch.above, branch.since, branch.until) for branch in branches
    ]
    return tuple(list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [], [], [])


def _contained(predicates: tuple[Predicate, ...], *, together: bool) -> list[tuple[str | None, int]]:
    """Say what the payload must contain: one object for all predicates together, or one for each."""
    if not predicates:
        return [(None, 0)]
    fragments = [predicate.fragment for predicate in predicates]
    if not together:
        return [(fragment, 1) for fragment in fragments]
    if len({predicate.key for predicate in predicates}) < len(predicates):
        return []
    return [("{" + ",".join(fragment[1:-1] for fragment in fragments) + "}", len(fragments))]
