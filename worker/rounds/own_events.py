"""Own events: what this process has recorded of late or is about to, found by the filters that it lies in."""

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from eventstore import Filter, FilterItem, OwnRange, RecordedEvent
from eventstore.boundary_index import comparable
from handlers import DomainEvent

__all__ = ["OwnEvent", "OwnEvents", "Search"]

_Key = tuple[str | None, object]

# A state that lacks more of our own events than are kept here is read anew.
_MOST_RECORDED = 1024
# By so many fields events are found. Views name a few; only one that makes names from its key has more.
_MOST_FIELDS = 64


class OwnEvent(msgspec.Struct, eq=False, gc=False):
    """An event of our own.

    Attributes:
        recorded: The event as it is read back; it has no number of its own before it is on record.
        fact: The same, as the domain knows it.
        ordinal: Its place among our own events: 1, 2, 3 …
        number: Its sequence number, once it is on record; 0 before.
        range: The numbers that its transaction wrote, once it is on record.
        keys: What it is found by.
        removed: Whether it is not recorded after all.
    """

    recorded: RecordedEvent
    fact: DomainEvent
    ordinal: int = 0
    number: int = 0
    range: OwnRange | None = None
    keys: list[_Key] = msgspec.field(default_factory=list)
    removed: bool = False


class Search(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A filter, with what its events are found by. Made by ``OwnEvents.search``.

    Attributes:
        filter: The filter.
        places: The keys that its events are found by: each of them lies in one of these places, by all of its keys.
            Without keys, all events are looked at.
    """

    filter: Filter
    places: tuple[tuple[_Key, ...], ...]


class OwnEvents:
    """The events of one domain that this process has recorded of late or is about to, in order.

    Asking for those of a filter costs what is found, however many there are and however many filters ask.

    Attributes:
        last: The ordinal of the newest.
        settled: Up to which ordinal all are on record, or removed.
        gone: Up to which ordinal all are forgotten.
    """

    def __init__(self, most_recorded: int = _MOST_RECORDED) -> None:
        self.last = 0
        self.settled = 0
        self.gone = 0
        self._most_recorded = most_recorded
        self._events: deque[OwnEvent] = deque()
        # By type, and by the value of each field that a filter has asked by.
        self._by_key: dict[_Key, deque[OwnEvent]] = {}
        self._fields: set[str] = set()

    def search(self, events: Filter) -> Search:
        """Return how the events of a filter are found."""
        return Search(events, tuple([place for item in events.items for place in self._places(item)]))

    def add(self, events: Iterable[OwnEvent]) -> None:
        """Add events that are about to be recorded, after all others."""
        for own in events:
            self.last += 1
            own.ordinal = self.last
            self._events.append(own)
            self._put(own, (None, own.recorded.type))
            for field in self._fields:
                self._file(own, field)

    def matching(
        self, search: Search, *, after: int, up_to: int, above: int = 0, bounded: bool = True
    ) -> list[OwnEvent]:
        """Find the events of a filter.

        Args:
            search: The filter. Its bound on the number leaves out nothing that has no number yet.
            after: Only later ones than this ordinal.
            up_to: And none later than this one.
            above: None on record whose number is not higher.
            bounded: Whether the filter's bound leaves out what is on record below it, as it did not before that.

        Returns:
            Them, in order.
        """
        if after >= up_to:
            return []
        boundary = search.filter
        above = max(above, boundary.above) if bounded else above
        found: dict[int, OwnEvent] = {}
        for keys in search.places:
            place: Sequence[OwnEvent]
            if len(keys) == 1:
                place = self._by_key.get(keys[0], ())
            else:
                # An event with all of the values is found by each of them.
                place = min([self._by_key.get(key, ()) for key in keys], key=len) if keys else self._events
            for own in reversed(place):
                if own.ordinal <= after or 0 < own.number <= above:
                    break
                if own.ordinal <= up_to and not own.removed and boundary.holds(own.recorded):
                    found[own.ordinal] = own
        return [found[ordinal] for ordinal in sorted(found)] if len(found) > 1 else list(found.values())

    def remove(self, events: Iterable[OwnEvent]) -> None:
        """Remove events that are not recorded after all."""
        for own in events:
            own.removed = True

    def settle(self, up_to: int) -> None:
        """Note that all up to an ordinal are on record or removed."""
        self.settled = up_to

    def trim(self) -> None:
        """Forget the oldest of many, whole transactions at a time.

        Of one that is half forgotten, a state could be folded with the other half, and its range would claim both.
        """
        while self._events and self.settled - self._events[0].ordinal >= self._most_recorded:
            own_range = self._forget_oldest().range
            while (
                self._events and self._events[0].ordinal <= self.settled and self._events[0].range in (None, own_range)
            ):
                self._forget_oldest()

    def forget(self) -> None:
        """Forget all that are on record: the history that they lie in is not the store's any more."""
        while self._events and self._events[0].ordinal <= self.settled:
            self._forget_oldest()
        self.gone = self.settled

    def _forget_oldest(self) -> OwnEvent:
        own = self._events.popleft()
        self.gone = own.ordinal
        for key in own.keys:
            place = self._by_key[key]
            place.popleft()
            if not place:
                del self._by_key[key]
        return own

    def _places(self, item: FilterItem) -> list[tuple[_Key, ...]]:
        if not item.predicates:
            return [((None, event_type),) for event_type in item.event_types] or [()]
        keys: list[_Key] = []
        for predicate in item.predicates:
            if predicate.key not in self._fields:
                if len(self._fields) >= _MOST_FIELDS:
                    return [()]
                self._fields.add(predicate.key)
                for own in self._events:
                    self._file(own, predicate.key)
            keys.append((predicate.key, comparable(predicate.value)))
        return [tuple(keys)] if item.all_predicates else [(key,) for key in keys]

    def _file(self, own: OwnEvent, field: str) -> None:
        value = comparable(own.recorded.payload.get(field))
        if value is not None:
            self._put(own, (field, value))

    def _put(self, own: OwnEvent, key: _Key) -> None:
        own.keys.append(key)
        place = self._by_key.get(key)
        if place is None:
            place = self._by_key[key] = deque()
        place.append(own)
