"""An index of filters: finds the filters that match an event without evaluating each of them."""

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

# The JSON type keeps True and 1 apart, which are equal in Python. 1 and Decimal("1.0") are one value.
Comparable = tuple[str, object]
"""A field's value with its JSON type."""


# The item's number, its filter's index, its event types, and how many of its predicates an event must fulfil.
_Item = tuple[int, int, tuple[str, ...], int]


# From this number of events on, their JSON texts are searched before they are parsed.
_MANY = 8


class BoundaryIndex:
    """Finds the filters that match an event by the values of its fields and by its type.

    The cost of a look-up depends on the event's fields and on the number of matches, not on the number of filters.

    Args:
        filters: The filters to index; results identify them by their index in this order.
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
        """Find the filters that match an event.

        Args:
            event: A recorded event, or one about to be recorded. The latter has no sequence number yet, so no bound on
                the number excludes it.

        Returns:
            The indexes of the matching filters, each once, ascending.

        Raises:
            ValueError: The payload of a recorded event is no JSON object; ``Event`` checks its own.
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
        """Find the filters that match at least one of several events about to be recorded.

        Of many events, only those whose JSON text contains a looked-for value are parsed.

        Returns:
            The indexes of the matching filters, each once, ascending.

        Raises:
            ValueError: A parsed payload is no JSON object.
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
            held: Iterable[Event] = events  # an escaped character can be written in more than one way
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
        """The looked-for values as JSON texts; None if one of them can be written in more than one way."""
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
    """Return a value that is equal for equal JSON scalars only; None for a value that no predicate can name."""
    if isinstance(value, str):
        return "string", value
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int | Decimal):
        return "number", value
    return None
