"""Part states: what is known of the parts that commands read, as far as it is on record."""

import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from eventstore import OwnRange, RecordedEvent
from eventstore.boundary_index import BoundaryIndex
from handlers.kept_states import KeptState, state_size
from handlers.part import Part
from worker.rounds.hot_parts import HotParts
from worker.rounds.own_events import OwnEvent, OwnEvents
from worker.rounds.part_entry import PartEntry

__all__ = ["PartStates"]

# What an entry costs besides its state.
_ENTRY_BYTES = 700
# How far behind the last head known a part may be and still be decided on without a read. Its append looks through
# what lies between, under the lock.
_LARGEST_LAG = 500
# An append carries each of them for every part.
_MOST_RANGES = 8


class PartStates:
    """The entries of one domain, bounded by count and bytes; what was not used for longest goes first.

    They hold recorded events only. An entry that a command under way reads stays.

    Args:
        own: Our own events.
        most: The most entries to keep besides those in use.
        most_bytes: About how many bytes their states may have together.

    Attributes:
        hot: Which of the parts are hot.
    """

    def __init__(self, own: OwnEvents, most: int, most_bytes: int) -> None:
        self._own = own
        self._most = most
        self._most_bytes = most_bytes
        self._entries: OrderedDict[Part[Any], PartEntry] = OrderedDict()
        self._bytes = 0
        self._head = 0
        self._doubted_at = 0.0
        self.hot = HotParts()

    def __len__(self) -> int:
        return len(self._entries)

    def note_head(self, number: int) -> None:
        """Note how far the log is known to be."""
        self._head = max(self._head, number)

    def use(self, parts: Iterable[Part[Any]]) -> list[PartEntry]:
        """Return the entries of parts, made where there are none. They stay until ``release``."""
        used = []
        for part in parts:
            entry = self._entries.get(part)
            if entry is None:
                entry = self._add(part)
            else:
                self._entries.move_to_end(part)
            entry.users += 1
            self.hot.note_command(entry)
            used.append(entry)
        return used

    def release(self, entries: Iterable[PartEntry]) -> None:
        """Let go of entries; each as often as it was used."""
        for entry in entries:
            entry.users -= 1
            if not entry.users and entry.size > self._most_bytes:
                # It alone goes: the others would have to, and it would find no room all the same.
                self._drop(entry.part)
        if len(self._entries) > self._most or self._bytes > self._most_bytes:
            self._shrink()

    def is_known(self, entry: PartEntry) -> bool:
        """Whether a part can be decided on without a read: nobody else's event is known to lie above it."""
        if entry.kept is None or entry.must_read or entry.kept.read_at < self._doubted_at:
            return False
        return entry.seen >= self._own.gone and self._head - entry.number <= _LARGEST_LAG

    def peek(self, part: Part[Any]) -> PartEntry | None:
        """Return a part's entry as it is."""
        return self._entries.get(part)

    @staticmethod
    def least(entries: Iterable[PartEntry]) -> int:
        """How far the log was already, as far as it is known of these parts."""
        return max(max(entry.number, entry.lacks) for entry in entries)

    def must_read_strong(self, entry: PartEntry) -> bool:
        """Whether a replica may lack what is known to have come in."""
        # One that lacks forgotten events of ours gets them from no replica that is behind them.
        if entry.kept is not None and entry.kept.read_at < self._doubted_at:
            return True
        return entry.must_read or entry.seen < self._own.gone

    def doubt(self) -> None:
        """Have every part that is known by now read before it is decided on again. Who is under way stays so."""
        self._doubted_at = time.monotonic()

    def distrust(self, entries: Iterable[PartEntry], number: int = 0) -> None:
        """Have parts read before they are decided on again.

        Args:
            entries: Theirs.
            number: Which event they lack, if that is known.
        """
        self.note_head(number)
        for entry in entries:
            if number and entry.kept is not None and number <= entry.kept.position.number:
                continue
            entry.must_read = True
            entry.lacks = max(entry.lacks, number)

    def touched(self, events: Iterable[RecordedEvent]) -> list[PartEntry]:
        """Find the kept parts that events lie in. It asks all of them, and is for what is rare."""
        entries = list(self._entries.values())
        index = BoundaryIndex(entry.part.filter for entry in entries)
        return [entries[place] for place in {place for event in events for place in index.matching(event)}]

    def validated(self, entry: PartEntry, kept: KeptState, seen: int, mark: object) -> None:
        """Note what an append of ours has made of a part: nothing but our own events lay above what was decided on."""
        entry.must_read = False
        self._put(entry, kept, seen, mark)

    def extended(self, entry: PartEntry, state: Any, own: Iterable[OwnEvent], seen: int, mark: object) -> None:
        """Note our own events above a part's position, of a state that is folded with them."""
        entry.state = state
        entry.mark = mark
        entry.seen = seen
        for event in own:
            entry.events += 1
            self._cover(entry, event)

    def find(self, part: Part[Any]) -> KeptState | None:
        """Return a part's state at its position, from where it is read on."""
        entry = self._entries.get(part)
        return entry.kept if entry is not None else None

    def keep(self, part: Part[Any], kept: KeptState) -> None:
        """Note what a read found, unless more is known already."""
        self.note_head(kept.position.number)
        entry = self._entries.get(part)
        if entry is None:
            entry = self._add(part)
        elif kept.position.number < entry.number:
            return
        entry.must_read = kept.position.number < entry.lacks
        # Those of our own that lie below are part of what was read; they are told by their numbers.
        before = entry.kept
        has_news = before is None or entry.ranges or kept.events != before.events or kept.state is not before.state
        self._put(entry, kept, self._own.gone, object() if has_news else entry.mark)
        self._shrink()

    def forget(self) -> None:
        """Forget everything: the history that it was folded from is not the store's any more."""
        self._own.forget()
        self._head = 0
        self._bytes = 0
        for part, entry in list(self._entries.items()):
            entry.reset()
            if not entry.users:
                del self._entries[part]

    def _put(self, entry: PartEntry, kept: KeptState, seen: int, mark: object) -> None:
        entry.kept = kept
        entry.state = kept.state
        entry.mark = mark
        entry.ranges = ()
        entry.seen = seen
        entry.events = kept.events
        # States grow with their events. Measured at every doubling, they cost no more to measure than to fold.
        if kept.events >= 2 * entry.measured:
            self._bytes -= entry.size
            entry.size = _ENTRY_BYTES + state_size(kept.state)
            entry.measured = max(kept.events, 1)
            self._bytes += entry.size

    def advance(self, entry: PartEntry) -> None:
        """Fold our own recorded events that are new to an entry.

        Raises:
            Exception: Whatever its view raises.
        """
        settled = self._own.settled
        if entry.kept is None or entry.seen >= settled:
            return
        above = entry.kept.position.number
        news = self._own.matching(entry.search, after=entry.seen, up_to=settled, above=above)
        if news:
            state = entry.part.advanced(entry.state, [own.fact for own in news])
            self.extended(entry, state, news, settled, object())
        entry.seen = settled

    def _cover(self, entry: PartEntry, own: OwnEvent) -> None:
        if own.range is None or own.number <= entry.number:
            return
        ranges = entry.ranges
        if ranges and ranges[-1].last.number + 1 == own.range.first:
            entry.ranges = (*ranges[:-1], OwnRange(first=ranges[-1].first, last=own.range.last))
        else:
            entry.ranges = (*ranges, own.range)
            entry.must_read = entry.must_read or len(entry.ranges) > _MOST_RANGES

    def _shrink(self) -> None:
        while len(self._entries) > self._most or self._bytes > self._most_bytes:
            # Those in use were moved to the end when they came into use.
            for entry in self._entries.values():
                if not entry.users:
                    break
            else:
                return
            self._drop(entry.part)

    def _add(self, part: Part[Any]) -> PartEntry:
        entry = self._entries[part] = PartEntry(part, self._own.search(part.filter))
        return entry

    def _drop(self, part: Part[Any]) -> None:
        entry = self._entries.pop(part)
        self._bytes -= entry.size
        entry.reset()
