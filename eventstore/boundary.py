"""Boundaries: what a decision was made from, part by part, each with how far it was read."""

from collections.abc import Sequence

import msgspec

from eventstore.errors import InvalidRequest
from eventstore.filter import Filter
from eventstore.position import START, Position

__all__ = ["Boundary", "BoundaryPart", "OwnRange"]


class OwnRange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Numbers that one transaction of the reader's own wrote, and that its state was folded with.

    Attributes:
        first: The first number.
        last: The position of the last event, with its token.

    Raises:
        InvalidRequest: The range is empty, or begins before the log.
    """

    first: int
    last: Position

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.last.number:
            raise InvalidRequest(f"an own range lies in the log and is not empty, unlike {self}")

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last.number


class BoundaryPart(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One part of a boundary. Parts are checked each from its own position, and never merged into one filter.

    Attributes:
        filter: Which events matter, with bounds of its own.
        after: How far they were read.
        besides: What lies above that and was seen all the same; it is no conflict for this part.
    """

    filter: Filter
    after: Position = START
    besides: tuple[OwnRange, ...] = ()

    @property
    def positions(self) -> tuple[Position, ...]:
        """Every position that must lie in the store's history for this part to say anything."""
        return (self.after, *(own.last for own in self.besides))

    def saw(self, number: int) -> bool:
        """Tell whether an event of the filter with this number was seen."""
        return number <= self.after.number or any(number in own for own in self.besides)


Boundary = Filter | Sequence[BoundaryPart]
"""A filter, read up to one position; or parts, each with a position of its own."""
