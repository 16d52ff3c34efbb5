"""The requirement: what the history behind an answer must include, so that the caller can continue from it."""

from dataclasses import dataclass
from typing import Self

from eventstore.filter import Filter
from eventstore.position import START, Position
from eventstore.postgres.reads.lookup import Answer

__all__ = ["NO_MILESTONES", "Requirement"]

NO_MILESTONES: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Requirement:
    """What the history behind an answer must include.

    Attributes:
        positions: The positions that must lie in the answering server's history.
        number: The sequence number that the answering server must have reached.
        bound: The sequence number that it must have reached if it is a replica.
        after: For each filter the position from which it is read; empty if none has one. They are among ``positions``.
    """

    positions: tuple[Position, ...]
    number: int
    bound: int
    after: tuple[Position, ...] = ()

    @classmethod
    def of(
        cls, positions: tuple[Position, ...], *, reach: int = 0, bound: int = 0, after: tuple[Position, ...] = ()
    ) -> Self:
        """Require that these positions lie in the history, and that the log has reached ``reach`` in any history."""
        number = max(reach, *[position.number for position in positions]) if positions else reach
        return cls(positions, number, max(bound, number), after)

    @classmethod
    def for_filter(cls, boundary: Filter | None, min_position: Position | None, reach: int = 0) -> Self:
        """Build the requirement of a query of one filter.

        Args:
            boundary: The filter; None for a query without one.
            min_position: The position that must lie in the history; None for any.
            reach: The sequence number that the log must have reached, in any history; by default 0.
        """
        positions = () if min_position is None or min_position == START else (min_position,)
        return cls.of(positions, reach=reach, bound=0 if boundary is None else boundary.above)

    @property
    def milestones(self) -> frozenset[int]:
        """The sequence numbers of the events whose tokens are needed to verify the positions."""
        return frozenset([position.number for position in self.positions]) if self.positions else NO_MILESTONES

    def stranger(self, answer: Answer) -> Position | None:
        """Return a position that does not lie in the answer's history, or None."""
        for position in self.positions:
            if answer.tokens.get(position.number) != position.token:
                return position
        return None
