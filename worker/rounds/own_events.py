"""Own events: events that this process recorded recently or is about to record, indexed by their fields."""

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from eventstore import Filter, FilterItem, OwnRange, RecordedEvent
from eventstore.boundary_index import comparable
from handlers import DomainEvent

__all__ = ["OwnEvent", "OwnEvents", "Search"]

_Key = tuple[str | None, object]

# A state that lacks more own events than this is read again.
_MOST_RECORDED = 1024
# So does one that lacks events that are longer together than this.
_MOST_RECORDED_BYTES = 16_000_000
# The most fields that events are indexed by. Views use a few; only one that makes field names from its key has more.
_MOST_FIELDS = 64


class OwnEvent(msgspec.Struct, eq=False, gc=False):
    """An event of this process.

    Attributes:
        recorded: The event as it is read back; its sequence number is ``NO_NUMBER`` before it is recorded.
        fact: The same event, as the domain's own type.
        size: The length of its payload as JSON.
        ordinal: Its place among the own events: 1, 2, 3 …
        number: Its sequence number once it is recorded; 0 before.
        range: The range of numbers that its transaction wrote, once it is recorded.
        keys: The index keys that it is found by.
        removed: Whether it was refused, and so is not recorded.
    """

    recorded: RecordedEvent
    fact: DomainEvent
    size: int = 0
    ordinal: int = 0
    number: int = 0
    range: OwnRange | None = None
    keys: list[_Key] = msgspec.field(default_factory=list)
    removed: bool = False


class Search(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A filter, with the index keys that its events are found by. Made by ``OwnEvents.search``.

    Attributes:
        filter: The filter.
        places: The combinations of index keys: an event of the filter has all keys of at least one combination. An
            empty combination means that all events are examined.
    """

    filter: Filter
    places: tuple[tuple[_Key, ...], ...]


class OwnEvents:
    """The events of one domain that this process recorded recently or is about to record, in order.

    The cost of a search grows with what it finds, not with the number of events or filters.

    Attributes:
        last: Ordinal of the newest event; 0 before any.
        settled: Ordinal up to which all events are recorded or removed.
        gone: Ordinal up to which all events are forgotten.
    """

    def __init__(self, most_recorded: int = _MOST_RECORDED, most_bytes: int = _MOST_RECORDED_BYTES) -> None:
        self.last = 0
        self.settled = 0
        self.gone = 0
        self._most_recorded = most_recorded
        self._most_bytes = most_bytes
        self._bytes = 0
        self._events: deque[OwnEvent] = deque()
        # Index by type, and by the value of each field that a filter uses.
        self._by_key: dict[_Key, deque[OwnEvent]] = {}
        self._fields: set[str] = set()

    def search(self, events: Filter) -> Search:
        """Return a filter with its index keys, for ``matching``."""
        return Search(events, tuple([place for item in events.items for place in self._places(item)]))

    def add(self, events: Iterable[OwnEvent]) -> None:
        """Add events that are about to be recorded, after all others."""
        for own in events:
            self.last += 1
            own.ordinal = self.last
            self._bytes += own.size
            self._events.append(own)
            self._put(own, (None, own.recorded.type))
            for field in self._fields:
                self._file(own, field)

    def matching(
        self, search: Search, *, after: int, up_to: int, above: int = 0, bounded: bool = True
    ) -> list[OwnEvent]:
        """Find the events of a filter.

        Args:
            search: The filter. Its bound on the number excludes no event that has no number yet.
            after: Only events with a higher ordinal than this.
            up_to: Only events with at most this ordinal.
            above: Only events whose sequence number is higher, or that have none yet.
            bounded: Whether the filter's own bound excludes recorded events below it.

        Returns:
            The events, in order.
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
                # An event with all of the values is in the list of each of them.
                place = min([self._by_key.get(key, ()) for key in keys], key=len) if keys else self._events
            for own in reversed(place):
                if own.ordinal <= after or 0 < own.number <= above:
                    break
                if own.ordinal <= up_to and not own.removed and boundary.holds(own.recorded):
                    found[own.ordinal] = own
        return [found[ordinal] for ordinal in sorted(found)] if len(found) > 1 else list(found.values())

    def remove(self, events: Iterable[OwnEvent]) -> None:
        """Mark events as refused: they are not recorded."""
        for own in events:
            own.removed = True

    def settle(self, up_to: int) -> None:
        """Note that all events up to an ordinal are recorded or removed."""
        self.settled = up_to

    def trim(self) -> None:
        """Forget the oldest settled events beyond the limits, whole transactions at a time.

        If a transaction was half forgotten, a state could be folded with the other half, and its range would claim
        both.
        """
        while self._events and self._is_beyond_limits(self._events[0]):
            own_range = self._forget_oldest().range
            while (
                self._events and self._events[0].ordinal <= self.settled and self._events[0].range in (None, own_range)
            ):
                self._forget_oldest()

    def forget(self) -> None:
        """Forget all recorded events: the store no longer has the history that they are part of."""
        while self._events and self._events[0].ordinal <= self.settled:
            self._forget_oldest()
        self.gone = self.settled

    def _is_beyond_limits(self, oldest: OwnEvent) -> bool:
        if self.settled - oldest.ordinal >= self._most_recorded:
            return True
        return self._bytes > self._most_bytes and oldest.ordinal <= self.settled

    def _forget_oldest(self) -> OwnEvent:
        own = self._events.popleft()
        self._bytes -= own.size
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
