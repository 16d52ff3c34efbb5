"""The overlay: the states of a round's parts, including events that are decided but not recorded yet."""

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

__all__ = ["NeedsOwnRound", "NotKnown", "Overlay"]


class NeedsOwnRound(Exception):
    """Raised when a command can only be decided with nothing else in progress.

    One of its parts counts only events from a sequence number on that the log has not reached: whether an event that is
    about to be recorded counts is not known before it has its number.
    """


class NotKnown(Exception):
    """Raised when a part has to be read before a command can be decided on it."""


class _Overlaid(msgspec.Struct, eq=False, gc=False):
    """A part's state including events that are not recorded yet.

    Attributes:
        state: The state.
        base: The mark of the state that it was folded from at first.
        mark: The mark of ``state``: another object whenever the state is folded from other events.
        seen: Ordinal of the last own event that is folded in.
        kept: The cached state of the part when the round was sent, or when this state was begun.
    """

    state: Any
    base: object
    mark: object
    seen: int
    kept: KeptState | None


class Overlay:
    """The states that a round is decided on.

    States that include unrecorded events are kept here, apart from the cached ones, and are dropped if such an event is
    refused.

    Args:
        states: The cached states of the parts, all of them in use.
        own: The events that this process recorded recently or is about to record.
        below: The overlay of the round that is being recorded; this one builds on its states. None if there is none.

    Attributes:
        last: Ordinal of the last own event that this round has seen.
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
        """Return a part's state, including all events of this process.

        Raises:
            Alone: The state can only be determined with nothing else in progress.
            NotKnown: The part has to be read first.
            Exception: Any error of a view.
        """
        return self._state(entry).state

    def advanced(self, entries: Iterable[PartEntry], own: Sequence[OwnEvent]) -> list[tuple[PartEntry, Any]]:
        """Return the states of parts after further events, for those parts that contain any of these events.

        Args:
            entries: The parts; ``state`` was called for each before.
            own: The further events.

        Raises:
            Exception: Any error of a view.
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
            own: The events, in order.
            entries: The parts that they were decided on.
            advanced: What ``advanced`` returned for these events.
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
        """Detach from the overlay below, whose round has been answered.

        Returns:
            The parts whose states include events that were not recorded, or whose cached state is gone.
        """
        self._below = None
        # An entry that was dropped from the cache has no state.
        return {
            entry
            for entry, overlaid in self._overlaid.items()
            if entry.kept is None or entry.must_read or entry.mark is not overlaid.base
        }

    def drop(self, entries: Iterable[PartEntry]) -> None:
        """Drop the states of parts."""
        for entry in entries:
            self._overlaid.pop(entry, None)
        self._index = None

    def touched(self, events: Sequence[OwnEvent]) -> set[PartEntry]:
        """Return the parts that contain one of these events."""
        if not events:
            return set()
        if self._index is None:
            self._index = BoundaryIndex(entry.part.filter for entry in self._overlaid)
        entries = list(self._overlaid)
        return {entries[place] for own in events for place in self._index.matching(own.recorded)}

    def note_kept(self) -> None:
        """Note the cached states of the parts as they are now: their boundaries are checked from there."""
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
        """Move the states into the cache, where they were built on what is cached.

        Args:
            validators: For each part, the last receipt whose append checked its boundary.
            wrong: The parts that contain a refused event. They are left out.
            sent_at: When the round was sent, on the monotonic clock, in seconds.
            storage: Stores the states that are due to be stored.
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
            return  # whether a recorded event counts depends on its number, which the fold did not know
        if entry.seen < self._own.gone:
            return  # events in between are forgotten, and no range may claim that they were folded
        own = self._own.matching(entry.search, after=entry.seen, up_to=self.last, bounded=False)
        if own and own[0].number <= entry.kept.position.number:
            return  # a read that came in since includes them already
        if overlaid.seen < self.last:
            try:
                self._fold(entry, overlaid, [each for each in own if each.ordinal > overlaid.seen])
            except Exception:  # noqa: BLE001  a view's error is that of the next command that reads the part
                self._known.distrust([entry])
                return
            overlaid.seen = self.last
        if validator is None or (own and own[-1].number > validator.position.number):
            if validator is not None:
                # No event of another writer lies above its position, up to its own ranges.
                entry.must_read = False
            self._known.extended(entry, overlaid.state, own, self.last, overlaid.mark)
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
        """Return a part's state including own events: up to an ordinal of this round, or all of them."""
        end = self._own.last if up_to is None else up_to
        overlaid = self._overlaid.get(entry)
        above = entry.part.filter.above
        # This also holds for a state that is here already: the bound is about numbers that are not assigned yet, and
        # the store does not check what lies below it.
        if above and up_to is None and end > self._own.settled and entry.kept is not None and above > entry.number:
            raise NeedsOwnRound
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
