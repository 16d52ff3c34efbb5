"""Questions: what one call of ``query_many`` asks, checked and with every position that it depends on."""

from collections.abc import Sequence
from typing import Self

import msgspec

from eventstore.errors import InvalidRequest
from eventstore.filter import Filter
from eventstore.position import START, Position

__all__ = ["Question"]


class Question(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Filters that are answered from one snapshot.

    Attributes:
        filters: Which events, each without what is known already.
        positions: The distinct positions that must lie in the answering server's history.
        most: How many events of one filter are wanted at most; None: all.
        known: For each filter how many events are left out because they are known already; empty if that is not told.
        after: For each filter the position from which it is asked; empty if none has one.
    """

    filters: tuple[Filter, ...]
    positions: tuple[Position, ...] = ()
    most: int | None = None
    known: tuple[int, ...] = ()
    after: tuple[Position, ...] = ()

    @classmethod
    def of(
        cls,
        filters: Sequence[Filter],
        *,
        after: Sequence[Position] | None = None,
        known: Sequence[int] = (),
        most: int | None = None,
        min_position: Position | None = None,
    ) -> Self:
        """Make a question from the arguments of ``query_many``.

        Raises:
            InvalidRequest: There are not as many positions or numbers as filters, or a negative number of events is
                wanted.
        """
        if most is not None and most < 0:
            raise InvalidRequest(f"at most so many events of a filter are wanted: 0 or more, not {most}")
        if known and len(known) != len(filters):
            raise InvalidRequest(f"of each filter is told what is known: {len(filters)} filters, {len(known)} numbers")
        needed = () if min_position is None else (min_position,)
        if after is not None:
            if len(after) != len(filters):
                raise InvalidRequest(
                    f"each filter has a position of its own: {len(filters)} filters, {len(after)} positions"
                )
            filters = [each.narrowed_above(seen.number) for each, seen in zip(filters, after, strict=True)]
            needed = (*needed, *after)
        return cls(
            filters=tuple(filters),
            positions=tuple(dict.fromkeys(position for position in needed if position != START)) if needed else (),
            most=most,
            known=tuple(known),
            after=tuple(after) if after is not None else (),
        )

    @property
    def least(self) -> int:
        """How far the answering server must be."""
        return max([position.number for position in self.positions], default=0)

    @property
    def bound(self) -> int:
        """How far a server must be that may lag: what a filter's bound leaves out, its author has seen."""
        return max([each.above for each in self.filters], default=0)
