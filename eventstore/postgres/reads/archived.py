"""What is archived: which filters of a read, and which positions, an answer cannot speak for."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from eventstore.errors import HistoryArchived
from eventstore.position import Position

__all__ = ["Archived", "Range"]

Range = tuple[int, int]
"""The first and the last number of an archived range."""


class Archived(msgspec.Struct, frozen=True, gc=False):
    """What an answer lacks, because it is archived.

    Attributes:
        filters: By the place of each filter that may match in an archived range: the first such range.
        positions: By the number of each event whose token was asked for and is archived: its range.
    """

    filters: Mapping[int, Range]
    positions: Mapping[int, Range]

    def refusal(self, after: Sequence[Position] = ()) -> HistoryArchived:
        """Return what to raise.

        Args:
            after: Of each filter the position from which it was asked, if there are any. Another position that is
                archived concerns all filters.
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
