"""Archived results: the filters and positions of a read that an answer cannot cover."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from eventstore.errors import HistoryArchived
from eventstore.position import Position

__all__ = ["Archived", "Range"]

Range = tuple[int, int]
"""The first and last sequence number of an archived range."""


class Archived(msgspec.Struct, frozen=True, gc=False):
    """The parts of a read that are missing from its answer because they are archived.

    Attributes:
        filters: The first archived range that a filter may match in, by the filter's index.
        positions: The archived range that a requested event lies in, by the event's sequence number.
    """

    filters: Mapping[int, Range]
    positions: Mapping[int, Range]

    def refusal(self, after: Sequence[Position] = ()) -> HistoryArchived:
        """Return the error to raise.

        Args:
            after: For each filter the position from which it is read; empty if none has one. An archived position that
                is not among them concerns all filters.
        """
        own = {position.number for position in after}
        if other := [number for number in self.positions if number not in own]:
            return _of_position(other, self.positions, ())
        places = {
            place: self.positions[seen.number] for place, seen in enumerate(after) if seen.number in self.positions
        }
        if places:
            named = [after[place].number for place in places]
            return _of_position(named, self.positions, tuple(sorted({*places, *self.filters})))
        first, last = min(self.filters.values())
        return HistoryArchived(first=first, last=last, places=tuple(sorted(self.filters)))


def _of_position(numbers: Collection[int], ranges: Mapping[int, Range], places: tuple[int, ...]) -> HistoryArchived:
    number = min(numbers)
    first, last = ranges[number]
    return HistoryArchived(first=first, last=last, places=places, position=number)
