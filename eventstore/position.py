"""Positions: how far a reader has read the log."""

import msgspec

__all__ = ["LAST_NUMBER", "START", "Position"]

# The largest bigint: the limit of sequence numbers and of tokens.
LAST_NUMBER = 2**63 - 1


class Position(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A point in one store's history.

    A number alone cannot distinguish a history from one that a failover has rewritten; the token of the event with that
    number can.

    Attributes:
        number: The sequence number of the last event that the reader could see; 0 before the first event.
        token: The token of that event; 0 before the first event.
    """

    number: int
    token: int

    def __post_init__(self) -> None:
        if not 0 <= self.number <= LAST_NUMBER or not 0 <= self.token <= LAST_NUMBER:
            raise ValueError(f"the number and token of a position lie between 0 and {LAST_NUMBER}, unlike {self}")

    def __str__(self) -> str:
        """Return ``number:token``, the form in messages."""
        return f"{self.number}:{self.token}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Parse a position from its ``str`` form.

        Raises:
            ValueError: The text is not of the form ``number:token``, or a number is out of range.
        """
        number, _, token = text.partition(":")
        if not (number.isdecimal() and token.isdecimal() and text.isascii()):
            raise ValueError(f"a position is written as number:token, not {text!r}")
        return cls(number=int(number), token=int(token))


START = Position(number=0, token=0)
"""The position before the first event."""
