"""Boundaries: the filters that a decision read, each with the position up to which it was read."""

from collections.abc import Sequence

import msgspec

from eventstore.errors import InvalidRequest
from eventstore.filter import Filter
from eventstore.position import START, Position

__all__ = ["Boundary", "BoundaryPart", "OwnRange"]


class OwnRange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A range of sequence numbers that one of the reader's own transactions wrote, and that its state includes.

    Attributes:
        first: The range's first sequence number.
        last: The position of the range's last event, with its token.

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
        filter: The filter that selects the part's events; its own bounds apply.
        after: The position up to which the events were read; by default the start of the log.
        besides: Ranges above ``after`` whose events the reader has seen as well; they are no conflict for this part.
    """

    filter: Filter
    after: Position = START
    besides: tuple[OwnRange, ...] = ()

    @property
    def positions(self) -> tuple[Position, ...]:
        """Every position that must lie in the store's history for this part to be valid."""
        return (self.after, *(own.last for own in self.besides))

    def saw(self, number: int) -> bool:
        """Return whether the reader has seen the event of the filter with this sequence number."""
        return number <= self.after.number or any(number in own for own in self.besides)


Boundary = Filter | Sequence[BoundaryPart]
"""A filter that was read up to one position, or parts with a position each."""
