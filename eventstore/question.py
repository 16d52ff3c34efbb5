"""Questions: the checked arguments of one ``query_many``, with every position that the answer depends on."""

from collections.abc import Sequence
from typing import Self

import msgspec

from eventstore.errors import InvalidRequest
from eventstore.filter import Filter
from eventstore.position import START, Position

__all__ = ["Question"]


class Question(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Filters that are answered together from one snapshot.

    Attributes:
        filters: The filters, each narrowed to events above its position.
        positions: The distinct positions that must lie in the answering server's history.
        most: The largest number of events wanted of one filter; None for all.
        known: For each filter the number of its events that the caller has already, which are left out; empty if
            unknown.
        after: For each filter the position above which it is read; empty if none has one.
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
        """Build a question from the arguments of ``query_many``.

        Raises:
            InvalidRequest: The number of positions, or of ``known``, differs from the number of filters, ``most`` is
                negative, or ``min_position`` is no position.
        """
        if most is not None and most < 0:
            raise InvalidRequest(f"the largest number of events of a filter must be 0 or more, not {most}")
        if known and len(known) != len(filters):
            raise InvalidRequest(f"each filter needs a known number: {len(filters)} filters, {len(known)} numbers")
        if min_position is not None and not isinstance(min_position, Position):
            raise InvalidRequest(
                f"min_position is a Position, not a value of type {type(min_position).__name__}: Position.parse(text) "
                "makes one of a text"
            )
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
        """The sequence number that the answering server must have reached."""
        return max([position.number for position in self.positions], default=0)

    @property
    def bound(self) -> int:
        """The sequence number that a replica must have reached: the caller has seen the events up to a bound."""
        return max([each.above for each in self.filters], default=0)
