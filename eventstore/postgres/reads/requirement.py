"""The requirement: what an answer must know, so that whoever asked may go on from it."""

from dataclasses import dataclass
from typing import Self

from eventstore.filter import Filter
from eventstore.position import START, Position
from eventstore.postgres.reads.lookup import Answer

__all__ = ["NO_MILESTONES", "Requirement"]

NO_MILESTONES: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Requirement:
    """What an answer must know.

    Attributes:
        positions: What must lie in the history that was read.
        number: How far the log must go on.
        bound: How far it must go on if a replica answers.
        after: Of each filter the position from which it is asked, if there are any; they are among the positions.
    """

    positions: tuple[Position, ...]
    number: int
    bound: int
    after: tuple[Position, ...] = ()

    @classmethod
    def of(
        cls, positions: tuple[Position, ...], *, reach: int = 0, bound: int = 0, after: tuple[Position, ...] = ()
    ) -> Self:
        """Demand these positions, and that the log reaches a number in whichever history."""
        number = max(reach, *[position.number for position in positions]) if positions else reach
        return cls(positions, number, max(bound, number), after)

    @classmethod
    def for_filter(cls, boundary: Filter | None, min_position: Position | None, reach: int = 0) -> Self:
        """Demand what a query of a filter from a position on does.

        Args:
            boundary: The filter; None for what has none.
            min_position: What must lie in the history that was read.
            reach: How far the log must go on, in whichever history.
        """
        positions = () if min_position is None or min_position == START else (min_position,)
        return cls.of(positions, reach=reach, bound=0 if boundary is None else boundary.above)

    @property
    def milestones(self) -> frozenset[int]:
        """The numbers of the events whose tokens are to be asked for."""
        return frozenset([position.number for position in self.positions]) if self.positions else NO_MILESTONES

    def stranger(self, answer: Answer) -> Position | None:
        """Find a position that does not lie in the history that was read."""
        for position in self.positions:
            if answer.tokens.get(position.number) != position.token:
                return position
        return None
