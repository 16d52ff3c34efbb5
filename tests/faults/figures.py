"""The result of a trial: a row of the table."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

__all__ = ["HEADINGS", "Figures", "recovery"]

HEADINGS = ("fault", "commands", "blows", "sent again", "lost", "doubled", "wrong", "dead", "first s", "last s")
"""The columns of the table, in the order of ``Figures.cells``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The result of a trial.

    Attributes:
        fault: The fault.
        commands: The number of distinct commands published, including the set-up.
        blows: The number of times that the fault was injected.
        repeated: How often a publisher had to send a command again.
        lost: Commands without a receipt and without a dead letter.
        doubled: Commands with more than one: events outside their receipt, a receipt beside a dead letter, or two dead
            letters.
        wrong: The number of violations that the oracle found, and of errors of worker processes.
        dead: Unexpected dead letters.
        first: Seconds from the end of a blow to the first settlement after it; the longest of all blows.
        last: Seconds from the end of a blow until all commands then in flight were settled; the longest of all blows.
        complaints: Every error, in sentences.
    """

    fault: str
    commands: int
    blows: int
    repeated: int
    lost: int
    doubled: int
    wrong: int
    dead: int
    first: float
    last: float
    complaints: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """Return the attributes as a JSON object."""
        return asdict(self) | {"complaints": list(self.complaints)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Read what ``as_json`` wrote."""
        return cls(**(values | {"complaints": tuple(values["complaints"])}))

    def sentence(self) -> str:
        """Return its row as one line of text."""
        fault, *values = self.cells()
        return f"{fault}: " + ", ".join(f"{name} {value}" for name, value in zip(HEADINGS[1:], values, strict=True))

    def cells(self) -> tuple[str, ...]:
        """Return its row of the table."""
        counts = (self.commands, self.blows, self.repeated, self.lost, self.doubled, self.wrong, self.dead)
        return (self.fault, *(f"{count:,}" for count in counts), f"{self.first:.2f}", f"{self.last:.2f}")


def recovery(ends: Sequence[float], commands: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Return the longest recovery from a blow.

    Args:
        ends: When each blow ended.
        commands: When each command was sent and when it was settled, on the same clock.

    Returns:
        Seconds to the first settlement after a blow, and to the last one of the commands in flight at its end. A blow
        without settlements after it, or without commands in flight, does not count.
    """
    known = sorted(commands, key=lambda each: each[1])
    first, last = 0.0, 0.0
    for end in ends:
        after = [(sent, settled) for sent, settled in known if settled > end]
        if after:
            first = max(first, after[0][1] - end)
        under_way = [settled for sent, settled in after if sent < end]
        if under_way:
            last = max(last, under_way[-1] - end)
    return first, last
