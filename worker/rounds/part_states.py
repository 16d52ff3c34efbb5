"""Part states: the cached states of the parts that commands read, from recorded events only."""

import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from eventstore import RecordedEvent
from eventstore.boundary_index import BoundaryIndex
from handlers.kept_states import KeptState, state_size
from handlers.part import Part
from worker.rounds.hot_parts import HotParts
from worker.rounds.own_events import OwnEvent, OwnEvents
from worker.rounds.part_entry import PartEntry

__all__ = ["PartStates"]

# Approximate size of an entry without its state.
_ENTRY_BYTES = 700
# How far a part may be behind the last known head and still be decided on without a read. Its append checks the events
# in between, under the lock.
_LARGEST_LAG = 500
# Every append sends all of them for each part.
_MOST_RANGES = 8


class PartStates:
    """The cached states of one domain, limited by count and bytes; the least recently used goes first.

    They contain recorded events only. An entry that an active command reads stays.

    Args:
        own: The events that this process recorded recently or is about to record.
        most: The most entries to keep besides those in use.
        most_bytes: Approximate limit of the size of all states together, in bytes.

    Attributes:
        hot: Counts the commands and conflicts of each part.
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
        """Note the sequence number of the log's head, as far as it is known."""
        self._head = max(self._head, number)

    def use(self, parts: Iterable[Part[Any]]) -> list[PartEntry]:
        """Return the entries of parts; make those that do not exist. They stay until ``release``."""
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
        """Release entries: once for each ``use``."""
        for entry in entries:
            entry.users -= 1
            if not entry.users and entry.size > self._most_bytes:
                # Only this one is dropped: otherwise all others would go, and there would still be no room for it.
                self._drop(entry.part)
        if len(self._entries) > self._most or self._bytes > self._most_bytes:
            self._shrink()

    def is_known(self, entry: PartEntry) -> bool:
        """Whether a part needs no read to be decided on: no newer event of another writer is known."""
        if entry.kept is None or entry.must_read or entry.kept.read_at < self._doubted_at:
            return False
        return entry.seen >= self._own.gone and self._head - entry.number <= _LARGEST_LAG

    @staticmethod
    def least(entries: Iterable[PartEntry]) -> int:
        """Return the highest sequence number that these parts show to be recorded: a read must not be older."""
        return max(max(entry.number, entry.lacks) for entry in entries)

    def must_read_strong(self, entry: PartEntry) -> bool:
        """Whether a part must be read on the primary: a replica may lack events that are known to be recorded."""
        # If it lacks forgotten own events, a replica that is behind them does not have them either.
        if entry.kept is not None and entry.kept.read_at < self._doubted_at:
            return True
        return entry.must_read or entry.seen < self._own.gone

    def doubt(self) -> None:
        """Have every part that is cached now read before it is decided on again. Active commands stay active."""
        self._doubted_at = time.monotonic()

    def distrust(self, entries: Iterable[PartEntry], number: int = 0) -> None:
        """Have parts read before they are decided on again.

        Args:
            entries: The entries of these parts.
            number: Sequence number of an event that they lack; 0 if it is not known.
        """
        self.note_head(number)
        for entry in entries:
            if number and entry.kept is not None and number <= entry.kept.position.number:
                continue
            entry.must_read = True
            entry.lacks = max(entry.lacks, number)

    def touched(self, events: Iterable[RecordedEvent]) -> list[PartEntry]:
        """Find the cached parts that contain one of these events. It tests all of them: for rare use only."""
        entries = list(self._entries.values())
        index = BoundaryIndex(entry.part.filter for entry in entries)
        return [entries[place] for place in {place for event in events for place in index.matching(event)}]

    def validated(self, entry: PartEntry, kept: KeptState, seen: int, mark: object) -> None:
        """Store a part's state after an own append, which showed that it lacks no event of another writer."""
        entry.must_read = False
        self._put(entry, kept, seen, mark)

    def extended(self, entry: PartEntry, state: Any, own: Iterable[OwnEvent], seen: int, mark: object) -> None:
        """Note own events above a part's position, with the state that includes them."""
        entry.state = state
        entry.mark = mark
        entry.seen = seen
        for event in own:
            entry.events += 1
            self._cover(entry, event)

    def find(self, part: Part[Any]) -> KeptState | None:
        """Return a part's state at its position, from which a read continues; None if it is not cached."""
        entry = self._entries.get(part)
        return entry.kept if entry is not None else None

    def keep(self, part: Part[Any], kept: KeptState) -> None:
        """Cache the result of a read, unless a newer state is cached already."""
        self.note_head(kept.position.number)
        entry = self._entries.get(part)
        if entry is None:
            entry = self._add(part)
        elif kept.position.number < entry.number:
            return
        entry.must_read = kept.position.number < entry.lacks
        # Own events below its position are part of what was read; they are recognised by their numbers.
        before = entry.kept
        has_news = before is None or entry.ranges or kept.events != before.events or kept.state is not before.state
        self._put(entry, kept, self._own.gone, object() if has_news else entry.mark)
        self._shrink()

    def forget(self) -> None:
        """Drop everything: the store no longer has the history that the states were folded from."""
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
        # States grow with their events. Measured at every doubling, measuring costs no more than folding.
        if kept.events >= 2 * entry.measured:
            self._bytes -= entry.size
            entry.size = _ENTRY_BYTES + state_size(kept.state)
            entry.measured = max(kept.events, 1)
            self._bytes += entry.size

    def advance(self, entry: PartEntry) -> None:
        """Fold recorded own events that are new to an entry into its state.

        Raises:
            Exception: Any error of its view.
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
        # Never joined with the range before, although no number lies between them: a failover may have lost that one's
        # events, and others have taken their numbers, before this one's were recorded. Only its own token shows that.
        entry.ranges = (*entry.ranges, own.range)
        entry.must_read = entry.must_read or len(entry.ranges) > _MOST_RANGES

    def _shrink(self) -> None:
        while len(self._entries) > self._most or self._bytes > self._most_bytes:
            # Entries in use were moved to the end when their use began.
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
