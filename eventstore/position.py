"""How far a reader has seen."""

from dataclasses import dataclass

__all__ = ["START", "Position"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A point in one store's history.

    A number alone cannot tell a history from one that was rewritten by a failover; the token of the event at that
    number can.

    Attributes:
        number: The sequence number of the last event that the reader could see; 0 before the first.
        token: That event's token; 0 before the first.
    """

    number: int
    token: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError(f"a position lies at 0 or above, not at {self.number}")

    def __str__(self) -> str:
        """Write it as ``number:token``, the form it has in messages."""
        return f"{self.number}:{self.token}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Read what ``str`` wrote.

        Raises:
            ValueError: The text is not of the form ``number:token``.
        """
        number, separator, token = text.partition(":")
        if not separator:
            raise ValueError(f"a position is written as number:token, not {text!r}")
        return cls(number=int(number), token=int(token))


START = Position(number=0, token=0)
