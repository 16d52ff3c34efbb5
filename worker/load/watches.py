"""Watches: the boundaries that a replay has still to decide in, each with its state so far."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product
from typing import Any

from eventstore import Filter, Predicate, RecordedEvent
from handlers.decider import Decider

__all__ = ["Watch", "Watches"]


@dataclass(slots=True, eq=False)
class Watch:
    """A boundary, as one decider folds it.

    Attributes:
        boundary: Which events.
        decider: What folds them.
        state: The state after all of them so far.
        due: How many commands are still to be decided here.
        last: The latest of its events, if there was one.
        exact: Whether an event that the index proposes is in the boundary for certain.
    """

    boundary: Filter
    decider: Decider[Any, Any]
    state: Any
    due: int = 0
    last: RecordedEvent | None = None
    exact: bool = field(init=False)

    def __post_init__(self) -> None:
        self.exact = _is_exact(self.boundary)


class Watches:
    """Finds whom an event concerns, without asking all.

    Each boundary is indexed by the types and predicates that its events must have, so that an event costs what it
    concerns, and not how many boundaries there are. Where the index proposes more than the filter's own definition
    holds, that one decides.
    """

    def __init__(self) -> None:
        # By an event's type and by a predicate that it fulfils; None where a boundary does not ask for one.
        self._index: defaultdict[_Key, set[Watch]] = defaultdict(set)
        # Fields that no boundary names need not be looked at.
        self._fields: set[str] = set()

    def add(self, watch: Watch) -> None:
        """Begin to watch."""
        for key in _keys(watch.boundary):
            self._index[key].add(watch)
        self._fields |= {predicate.key for predicate in watch.boundary.predicates}

    def remove(self, watch: Watch) -> None:
        """Stop watching."""
        for key in _keys(watch.boundary):
            if (watching := self._index.get(key)) is not None:
                watching.discard(watch)
                if not watching:
                    del self._index[key]

    def concerned(self, event: RecordedEvent) -> Iterator[Watch]:
        """Iterate over those whose boundary holds an event."""
        fulfilled: list[Predicate | None] = [None]
        for name in self._fields & event.payload.keys():
            value = event.payload[name]
            if isinstance(value, str | bool | int | Decimal):
                fulfilled.append(Predicate(name, value))
        candidates: set[Watch] = set()
        for predicate in fulfilled:
            candidates |= self._index.get((event.type, predicate), _NOBODY)
            candidates |= self._index.get((None, predicate), _NOBODY)
        return (watch for watch in candidates if watch.exact or watch.boundary.holds(event))


_Key = tuple[str | None, Predicate | None]
_NOBODY: frozenset[Watch] = frozenset()


def _keys(boundary: Filter) -> set[_Key]:
    """Return keys of which each event of a boundary has one at least."""
    keys: set[_Key] = set()
    for item in boundary.items:
        leading = item.predicates[:1] if item.all_predicates else item.predicates
        keys.update(product(item.event_types or (None,), leading or (None,)))
    return keys


def _is_exact(boundary: Filter) -> bool:
    """Whether an event with one of the keys is in the boundary for certain."""
    unbounded = boundary.since is None and boundary.until is None and boundary.above == 0
    return unbounded and not any(item.all_predicates for item in boundary.items)
