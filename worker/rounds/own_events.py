"""Own events: what this process has recorded of late or is about to, found by the filters that it lies in."""

from collections import deque
from collections.abc import Iterable, Sequence

from eventstore import Filter, OwnRange, RecordedEvent
from eventstore.boundary_index import comparable
from handlers import DomainEvent

__all__ = ["OwnEvent", "OwnEvents"]

_Key = tuple[str | None, object]

# A state that lacks more of our own events than are kept here is read anew.
_MOST_RECORDED = 1024


class OwnEvent:
    """An event of our own.

    Attributes:
        recorded: The event as it is read back; it has no number of its own before it is on record.
        fact: The same, as the domain knows it.
        ordinal: Its place among our own events: 1, 2, 3 …
        number: Its sequence number, once it is on record; 0 before.
        range: The numbers that its transaction wrote, once it is on record.
    """

    __slots__ = ("fact", "number", "ordinal", "range", "recorded", "removed")

    def __init__(self, recorded: RecordedEvent, fact: DomainEvent) -> None:
        self.recorded = recorded
        self.fact = fact
        self.ordinal = 0
        self.number = 0
        self.range: OwnRange | None = None
        self.removed = False


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
        # By a field and its value, and by type.
        self._by_key: dict[_Key, deque[OwnEvent]] = {}

    def add(self, events: Iterable[OwnEvent]) -> None:
        """Add events that are about to be recorded, after all others."""
        for own in events:
            self.last += 1
            own.ordinal = self.last
            self._events.append(own)
            for key in _keys(own.recorded):
                self._by_key.setdefault(key, deque()).append(own)

    def matching(
        self, boundary: Filter, *, after: int, up_to: int, above: int = 0, bounded: bool = True
    ) -> list[OwnEvent]:
        """Find the events of a filter.

        Args:
            boundary: The filter. Its bound on the number leaves out nothing that has no number yet.
            after: Only later ones than this ordinal.
            up_to: And none later than this one.
            above: None on record whose number is not higher.
            bounded: Whether the filter's bound leaves out what is on record below it, as it did not before that.

        Returns:
            Them, in order.
        """
        if after >= up_to:
            return []
        found: dict[int, OwnEvent] = {}
        above = max(above, boundary.above) if bounded else above
        for item in boundary.items:
            if item.predicates:
                named = [
                    self._by_key.get((predicate.key, comparable(predicate.value)), ()) for predicate in item.predicates
                ]
                # An event with all of the values is found by each of them.
                places: Iterable[Sequence[OwnEvent]] = [min(named, key=len)] if item.all_predicates else named
            elif item.event_types:
                places = [self._by_key.get((None, event_type), ()) for event_type in item.event_types]
            else:
                places = [self._events]
            for place in places:
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
        for key in _keys(own.recorded):
            place = self._by_key[key]
            place.popleft()
            if not place:
                del self._by_key[key]
        return own


def _keys(event: RecordedEvent) -> list[_Key]:
    found: list[_Key] = [(None, event.type)]
    for field, value in event.payload.items():
        if (scalar := comparable(value)) is not None:
            found.append((field, scalar))
    return found
