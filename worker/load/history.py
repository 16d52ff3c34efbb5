"""The history: a whole log in memory, indexed the way boundaries ask for it."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal

from eventstore import Filter, FilterItem, Predicate, RecordedEvent

__all__ = ["History"]


class History:
    """The log from its first event, to be asked what a boundary held at any point of the past.

    Every event is indexed by its type and by each of its scalar fields, so that a question costs what its answer is
    long, and not what the log is long.
    """

    def __init__(self) -> None:
        self.events: list[RecordedEvent] = []
        self._by_type: defaultdict[str, list[int]] = defaultdict(list)
        self._by_predicate: defaultdict[Predicate, list[int]] = defaultdict(list)

    @property
    def head(self) -> int:
        """The number of the last event; 0 without any."""
        return len(self.events)

    def add(self, event: RecordedEvent) -> None:
        """Append the next event.

        Raises:
            ValueError: Its number is not the next one.
        """
        number = self.head + 1
        if event.sequence_number != number:
            raise ValueError(f"event {event.sequence_number} stands where number {number} belongs")
        self.events.append(event)
        self._by_type[event.type].append(number)
        for key, value in event.payload.items():
            if isinstance(value, str | bool | int | Decimal):
                self._by_predicate[Predicate(key, value)].append(number)

    def matching(self, boundary: Filter, *, above: int = 0, up_to: int) -> Iterator[RecordedEvent]:
        """Iterate over the events of a boundary, in order.

        Args:
            boundary: Which events.
            above: Leave out the events up to and including this number.
            up_to: The last number that was on record at that point.
        """
        lowest = max(above, boundary.above)
        numbers: set[int] = set()
        for item in boundary.items:
            numbers.update(self._numbers(item, lowest, up_to))
        for number in sorted(numbers):
            event = self.events[number - 1]
            if boundary.since is not None and event.occurred_at < boundary.since:
                continue
            if boundary.until is not None and event.occurred_at > boundary.until:
                continue
            yield event

    def _numbers(self, item: FilterItem, above: int, up_to: int) -> set[int]:
        found = self._fulfilling(item, above, up_to)
        if not item.event_types:
            return set(range(above + 1, up_to + 1)) if found is None else found
        if found is None:
            return set().union(*(_between(self._by_type.get(name, ()), above, up_to) for name in item.event_types))
        return {number for number in found if self.events[number - 1].type in item.event_types}

    def _fulfilling(self, item: FilterItem, above: int, up_to: int) -> set[int] | None:
        """Return which events fulfil the item's predicates; None when it has none, so that all do."""
        if not item.predicates:
            return None
        each = [set(_between(self._by_predicate.get(one, ()), above, up_to)) for one in item.predicates]
        return set.intersection(*each) if item.all_predicates else set().union(*each)


def _between(numbers: Sequence[int], above: int, up_to: int) -> Sequence[int]:
    return numbers[bisect_right(numbers, above) : bisect_right(numbers, up_to)]
