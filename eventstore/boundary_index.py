"""An index of filters: which of many an event lies in, without asking each of them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cached_property

from eventstore.events import Event, RecordedEvent
from eventstore.filter import Filter
from eventstore.filter_item import FilterItem
from eventstore.jsontext import canonical, decode_object
from eventstore.position import LAST_NUMBER

__all__ = ["BoundaryIndex", "Comparable", "comparable"]

# A field's value with its JSON type: True and 1 are equal in Python, and two values here; 1 and Decimal("1.0") are one.
Comparable = tuple[str, object]
"""A field's value with its JSON type."""


# Its number, the place of its filter, its types, and how many of its predicates are needed.
_Item = tuple[int, int, tuple[str, ...], int]


# From so many events on, their texts are searched before they are read.
_MANY = 8


class BoundaryIndex:
    """Finds the filters that an event lies in, by the values of its fields and by its type.

    Looking an event up costs what its fields and what it matches cost, however many filters there are.

    Args:
        filters: Those; they are told from each other by their place.
    """

    def __init__(self, filters: Iterable[Filter]) -> None:
        self._bounded: dict[int, Filter] = {}
        self._by_field: dict[str, dict[Comparable, list[_Item]]] = {}
        self._by_type: defaultdict[str, list[int]] = defaultdict(list)
        self._any: list[int] = []
        self._items = 0
        for index, each in enumerate(filters):
            if each.since is not None or each.until is not None or each.above:
                self._bounded[index] = each
            for item in each.items:
                self._add(index, item)

    def matching(self, event: Event | RecordedEvent) -> Sequence[int]:
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
        found = self._by_payload(event.type, payload)
        found.update(self._any, self._by_type.get(event.type, ()))
        if self._bounded:
            found = {
                index
                for index in found
                if self._bounded.get(index) is None or _holds(self._bounded[index], event, number)
            }
        return sorted(found)

    def matching_any(self, events: Sequence[Event]) -> Sequence[int]:
        """Find the filters that one or more of some events about to be recorded lie in.

        Of many events only those are looked at by their fields that hold the text of a value that is looked for.

        Returns:
            Their places, each once, in order.

        Raises:
            ValueError: As ``matching``, of an event that is looked at.
        """
        texts = self._texts
        if len(events) < _MANY or self._bounded or texts is None or len(texts) > len(events):
            return sorted({place for event in events for place in self.matching(event)})
        found = set(self._any)
        for event_type in {event.type for event in events}:
            found.update(self._by_type.get(event_type, ()))
        payloads = [event.payload_text for event in events]
        together = "\n".join(payloads)
        if "\\" in together:
            held: Iterable[Event] = events  # what is escaped may be written in more than one way
        else:
            present = [text for text in texts if text in together]
            held = [
                event
                for event, payload in zip(events, payloads, strict=True)
                if any(text in payload for text in present)
            ]
        for event in held:
            found.update(self.matching(event))
        return sorted(found)

    def _by_payload(self, event_type: str, payload: Mapping[str, object]) -> set[int]:
        found: set[int] = set()
        fulfilled: dict[int, int] = {}
        for field in self._by_field.keys() & payload.keys():
            if (wanted := comparable(payload[field])) is None:
                continue
            for number, index, event_types, needed in self._by_field[field].get(wanted, ()):
                if event_types and event_type not in event_types:
                    continue
                if needed > 1:
                    fulfilled[number] = fulfilled.get(number, 0) + 1
                    if fulfilled[number] < needed:
                        continue
                found.add(index)
        return found

    def _add(self, index: int, item: FilterItem) -> None:
        if item.predicates:
            self._items += 1
            entry = (self._items, index, item.event_types, item.predicates_needed)
            for predicate in item.predicates:
                values = self._by_field.setdefault(predicate.key, {})
                value = comparable(predicate.value)
                if value is not None:
                    values.setdefault(value, []).append(entry)
        elif item.event_types:
            for event_type in item.event_types:
                self._by_type[event_type].append(index)
        else:
            self._any.append(index)

    @cached_property
    def _texts(self) -> set[str] | None:
        """The values that are looked for, as JSON writes them; None if some may be written in more than one way."""
        texts = set()
        for values in self._by_field.values():
            for kind, value in values:
                if kind != "string" or "\\" in (text := canonical(value).decode()):
                    return None
                texts.add(text)
        return texts


def _holds(bounded: Filter, event: Event | RecordedEvent, number: int) -> bool:
    return (
        number > bounded.above
        and (bounded.since is None or event.occurred_at >= bounded.since)
        and (bounded.until is None or event.occurred_at <= bounded.until)
    )


def comparable(value: object) -> Comparable | None:
    """Return what equal scalars have in common, and no others; None for what no predicate can look for."""
    if isinstance(value, str):
        return "string", value
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int | Decimal):
        return "number", value
    return None
