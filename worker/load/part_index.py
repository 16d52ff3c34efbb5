"""The index from events to the parts that contain them."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from eventstore import Filter, FilterItem, InvalidFilter, P, RecordedEvent
from worker.load.part_fold import PartFold

__all__ = ["PartIndex"]

_Place = tuple[str | None, str | None]
_ANYWHERE: _Place = (None, None)


class PartIndex:
    """Finds the folds that an event belongs to, without testing all of them.

    Each alternative of a filter is entered under something that its events must have: one of the predicates, or one of
    the types. The index only returns candidates; the filter itself, with its bounds, decides.
    """

    def __init__(self) -> None:
        # By an event's type, or by the fragment of a predicate that it fulfils. Dicts, to keep the order.
        self._folds: dict[_Place, dict[PartFold, None]] = {}
        self._fields: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._folds)

    def add(self, fold: PartFold) -> None:
        """Add a fold."""
        fold.places = frozenset(place for item in fold.part.filter.items for place in self._places(item))
        for place in fold.places:
            self._folds.setdefault(place, {})[fold] = None
        self._fields.update(_fields(fold.part.filter))

    def remove(self, fold: PartFold) -> None:
        """Remove a fold."""
        for place in fold.places:
            entered = self._folds[place]
            del entered[fold]
            if not entered:
                del self._folds[place]
        self._fields -= Counter(_fields(fold.part.filter))

    def holding(self, event: RecordedEvent) -> Iterator[PartFold]:
        """Yield the folds whose part contains an event."""
        places: list[_Place] = [_ANYWHERE, (event.type, None)]
        for name in self._fields.keys() & event.payload.keys():
            value = event.payload[name]
            if isinstance(value, str | bool | int | Decimal):
                try:
                    places.append((None, P(name, value).fragment))
                except InvalidFilter:
                    continue  # no filter can have such a value
        proposed: dict[PartFold, None] = {}
        for place in places:
            proposed |= self._folds.get(place, {})
        return (fold for fold in proposed if fold.part.filter.holds(event))

    def _places(self, item: FilterItem) -> list[_Place]:
        """Return entries of which each event of an alternative matches at least one."""
        if not item.predicates:
            return [(name, None) for name in item.event_types] or [_ANYWHERE]
        fragments = [predicate.fragment for predicate in item.predicates]
        if item.all_predicates:
            # The one with the fewest entries: a field with the same value everywhere selects nothing.
            fragments = [min(fragments, key=lambda fragment: len(self._folds.get((None, fragment), ())))]
        return [(None, fragment) for fragment in fragments]


def _fields(found: Filter) -> set[str]:
    return {predicate.key for predicate in found.predicates}
