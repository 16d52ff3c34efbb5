"""The overlay: the states of a round's parts, on top of what is decided and not on record yet."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from eventstore import Receipt
from eventstore.boundary_index import BoundaryIndex
from handlers.kept_states import KeptState
from handlers.state_storage import StateStorage
from worker.rounds.own_events import OwnEvent, OwnEvents
from worker.rounds.part_entry import PartEntry
from worker.rounds.part_states import PartStates

__all__ = ["Alone", "NotKnown", "Overlay"]


class Alone(Exception):
    """Raised when a command can only be decided with nothing under way.

    A part of it counts only from a number on that the log has not reached: whether an event about to be recorded
    counts cannot be told before it has its number.
    """


class NotKnown(Exception):
    """Raised when a part has to be read before it can be decided on."""


class _Overlaid(msgspec.Struct, eq=False, gc=False):
    """A part's state on top of what is not recorded yet.

    Attributes:
        state: The state.
        base: The mark of the state that it was begun with.
        mark: That of the state.
        seen: Up to which of our own events it is folded.
        kept: What was known of the part.
    """

    state: Any
    base: object
    mark: object
    seen: int
    kept: KeptState | None


class Overlay:
    """The parts that a round is decided on.

    What is folded from an event that is not recorded yet lies here, beside what is known, and is gone when that event
    is refused.

    Args:
        states: What is known of the parts, all of them in use.
        own: Our own events.
        below: That of the round which is being recorded meanwhile; this one lies on top of it.

    Attributes:
        last: Up to which of our own events it goes.
    """

    def __init__(self, states: PartStates, own: OwnEvents, below: "Overlay | None") -> None:
        self._known = states
        self._own = own
        self._below = below
        self._overlaid: dict[PartEntry, _Overlaid] = {}
        self._index: BoundaryIndex | None = None
        self.last = own.last

    def __iter__(self) -> Iterator[PartEntry]:
        """Iterate over the parts."""
        return iter(self._overlaid)

    def state(self, entry: PartEntry) -> Any:
        """Return a part's state, on top of all our own events.

        Raises:
            Alone: It can only be told with nothing under way.
            NotKnown: The part has to be read before.
            Exception: Whatever a view raises.
        """
        return self._state(entry).state

    def advanced(self, entries: Iterable[PartEntry], own: Sequence[OwnEvent]) -> list[tuple[PartEntry, Any]]:
        """Return the states that parts would have after further events, for those parts that have any of them.

        Args:
            entries: The parts; their states were asked for before.
            own: The events.

        Raises:
            Exception: Whatever a view raises.
        """
        return [
            (entry, entry.part.advanced(self._overlaid[entry].state, mine))
            for entry in entries
            if (mine := [each.fact for each in own if entry.part.filter.holds(each.recorded)])
        ]

    def add(
        self, own: Sequence[OwnEvent], entries: Iterable[PartEntry], advanced: Iterable[tuple[PartEntry, Any]]
    ) -> None:
        """Add events that are about to be recorded.

        Args:
            own: The events.
            entries: The parts that they were decided on.
            advanced: As ``advanced`` returned it.
        """
        self._own.add(own)
        self.last = self._own.last
        for entry, state in advanced:
            overlaid = self._overlaid[entry]
            overlaid.state = state
            overlaid.mark = object()
        for entry in entries:
            self._overlaid[entry].seen = self.last

    def stand_alone(self) -> set[PartEntry]:
        """Lie on nothing any more: what is below has been judged.

        Returns:
            The parts whose states were begun with what did not come about, or is not known any more.
        """
        self._below = None
        # One that is not kept any more is known of nothing.
        return {
            entry
            for entry, overlaid in self._overlaid.items()
            if entry.kept is None or entry.must_read or entry.mark is not overlaid.base
        }

    def drop(self, entries: Iterable[PartEntry]) -> None:
        """Let go of parts."""
        for entry in entries:
            self._overlaid.pop(entry, None)
        self._index = None

    def touched(self, events: Sequence[OwnEvent]) -> set[PartEntry]:
        """Return the parts that have one of these events."""
        if not events:
            return set()
        if self._index is None:
            self._index = BoundaryIndex(entry.part.filter for entry in self._overlaid)
        entries = list(self._overlaid)
        return {entries[place] for own in events for place in self._index.matching(own.recorded)}

    def note_kept(self) -> None:
        """Note what is known of the parts now: from there their boundaries are judged."""
        for entry, overlaid in self._overlaid.items():
            overlaid.kept = entry.kept

    def hand_over(
        self,
        validators: Mapping[PartEntry, Receipt],
        *,
        wrong: Collection[PartEntry],
        sent_at: float,
        storage: StateStorage,
    ) -> None:
        """Take the states over into what is known, as far as they were begun with that.

        Args:
            validators: The last receipt that judged a part by its boundary.
            wrong: The parts that have an event which was refused.
            sent_at: When the store was asked, on the monotonic clock.
            storage: Has states stored that are due.
        """
        for entry, overlaid in self._overlaid.items():
            if entry not in wrong:
                self._take(entry, overlaid, validators.get(entry), sent_at, storage)

    def _take(
        self, entry: PartEntry, overlaid: _Overlaid, validator: Receipt | None, sent_at: float, storage: StateStorage
    ) -> None:
        if entry.kept is None or entry.kept is not overlaid.kept or entry.mark is not overlaid.base:
            return
        events = entry.part.filter
        if events.above > entry.number:
            return  # whether it counts, what was recorded tells by its number only
        if entry.seen < self._own.gone:
            return  # what lies between is forgotten, and no range may claim it
        own = self._own.matching(entry.search, after=entry.seen, up_to=self.last, bounded=False)
        if own and own[0].number <= entry.kept.position.number:
            return  # a read that came in meanwhile has them already
        if overlaid.seen < self.last:
            try:
                self._fold(entry, overlaid, [each for each in own if each.ordinal > overlaid.seen])
            except Exception:  # noqa: BLE001  the view's own; whoever reads the part next meets it, and it is that one's
                self._known.distrust([entry])
                return
            overlaid.seen = self.last
        if validator is None or (own and own[-1].number > validator.position.number):
            self._known.extended(entry, overlaid.state, own, self.last, overlaid.mark)
            if validator is not None:
                # Nobody else's event lies above its position, up to its own ranges.
                entry.must_read = False
            return
        kept = replace(
            entry.kept,
            state=overlaid.state,
            position=validator.position,
            events=entry.events + len(own),
            read_at=sent_at,
        )
        newest = own[-1].recorded if own else None
        self._known.validated(entry, storage.stored_if_due(entry.part, kept, newest), self.last, overlaid.mark)

    def _state(self, entry: PartEntry, up_to: int | None = None) -> _Overlaid:
        """Return a part's state on top of our own events; up to an ordinal of this round, or all there are."""
        end = self._own.last if up_to is None else up_to
        overlaid = self._overlaid.get(entry)
        above = entry.part.filter.above
        # Also of what is here already: the bound speaks of numbers that nobody has been given yet, and the store does
        # not judge by what lies below it.
        if above and up_to is None and end > self._own.settled and entry.kept is not None and above > entry.number:
            raise Alone
        if overlaid is None:
            self._known.advance(entry)
            if entry.kept is None or entry.seen < self._own.gone:
                raise NotKnown
            overlaid = _Overlaid(entry.state, entry.mark, entry.mark, entry.seen, entry.kept)
            news = self._own.matching(entry.search, after=entry.seen, up_to=end)
            below = self._below
            if below is not None and (
                entry in below._overlaid or (news and news[0].ordinal <= below.last)  # noqa: SLF001  of the same kind
            ):
                before = below._state(entry, up_to=below.last)  # noqa: SLF001  likewise
                overlaid = _Overlaid(before.state, before.mark, before.mark, before.seen, entry.kept)
                news = [own for own in news if own.ordinal > before.seen]
            self._overlaid[entry] = overlaid
            self._index = None
            self._fold(entry, overlaid, news)
            overlaid.seen = end
        elif overlaid.seen < end:
            self._fold(entry, overlaid, self._own.matching(entry.search, after=overlaid.seen, up_to=end))
            overlaid.seen = end
        return overlaid

    def _fold(self, entry: PartEntry, overlaid: _Overlaid, news: Sequence[OwnEvent]) -> None:
        if news:
            overlaid.state = entry.part.advanced(overlaid.state, [own.fact for own in news])
            overlaid.mark = object()
