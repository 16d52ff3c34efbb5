"""An index of filters: which of many an event lies in, without asking each of them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from eventstore.events import Event, RecordedEvent
from eventstore.filter import Filter, FilterItem
from eventstore.jsontext import decode_object
from eventstore.position import LAST_NUMBER

__all__ = ["BoundaryIndex"]

# A field's value with its JSON type: True and 1 are equal in Python, and two values here; 1 and Decimal("1.0") are one.
_Value = tuple[str, object]


@dataclass(frozen=True, slots=True)
class _Bounds:
    since: datetime | None
    until: datetime | None
    above: int

    def include(self, occurred_at: datetime, number: int) -> bool:
        return (
            number > self.above
            and (self.since is None or occurred_at >= self.since)
            and (self.until is None or occurred_at <= self.until)
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Item:
    index: int
    event_types: frozenset[str]
    needed: int


class BoundaryIndex:
    """Finds the filters that an event lies in, by the values of its fields and by its type.

    Looking an event up costs what its fields and what it matches cost, however many filters there are.

    Args:
        filters: Those; they are told from each other by their place.
    """

    def __init__(self, filters: Iterable[Filter]) -> None:
        self._bounds: dict[int, _Bounds] = {}
        self._by_field: dict[str, dict[_Value, list[_Item]]] = {}
        self._by_type: defaultdict[str, list[int]] = defaultdict(list)
        self._any: list[int] = []
        for index, each in enumerate(filters):
            if each.since is not None or each.until is not None or each.above:
                self._bounds[index] = _Bounds(each.since, each.until, each.above)
            for item in each.items:
                self._add(index, item)

    def matching(self, event: Event | RecordedEvent) -> Iterator[int]:
        """Find the filters that an event lies in.

        Args:
            event: One on record; or one about to be recorded, which no bound on the number leaves out.

        Returns:
            Their places, each once, in order.

        Raises:
            ValueError: The event's payload has not been checked, and is no JSON object.
        """
        if isinstance(event, Event):
            payload, number = decode_object(event.payload_text), LAST_NUMBER
        else:
            payload, number = event.payload, event.sequence_number
        if not isinstance(payload, dict):
            raise ValueError("the payload is no JSON object")  # noqa: TRY004  its text is at fault, not its type
        found = {*self._any, *self._by_type.get(event.type, ()), *self._by_payload(event.type, payload)}
        for index in sorted(found):
            bounds = self._bounds.get(index)
            if bounds is None or bounds.include(event.occurred_at, number):
                yield index

    def _by_payload(self, event_type: str, payload: Mapping[str, object]) -> Iterator[int]:
        fulfilled: defaultdict[_Item, int] = defaultdict(int)
        for field, value in payload.items():
            values = self._by_field.get(field)
            if values is None or (comparable := _comparable(value)) is None:
                continue
            for item in values.get(comparable, ()):
                if item.event_types and event_type not in item.event_types:
                    continue
                if item.needed > 1:
                    fulfilled[item] += 1
                if item.needed == 1 or fulfilled[item] == item.needed:
                    yield item.index

    def _add(self, index: int, item: FilterItem) -> None:
        if item.predicates:
            entry = _Item(index, frozenset(item.event_types), item.predicates_needed)
            for predicate in item.predicates:
                value = _comparable(predicate.value)
                if value is not None:
                    self._by_field.setdefault(predicate.key, {}).setdefault(value, []).append(entry)
        elif item.event_types:
            for event_type in item.event_types:
                self._by_type[event_type].append(index)
        else:
            self._any.append(index)


def _comparable(value: object) -> _Value | None:
    """Return what equal scalars have in common, and no others; None for what no predicate can look for."""
    match value:
        case bool():
            return "boolean", value
        case str():
            return "string", value
        case int() | Decimal():
            return "number", value
        case _:
            return None
