"""The invariant: a property that holds after every event of a correct log."""

from collections.abc import Callable
from dataclasses import dataclass

from handlers.model import DomainEvent

__all__ = ["Check", "Invariant"]

Check = Callable[[int, DomainEvent], str | None]
"""Called with the sequence number of each event and the event; returns what is wrong after it, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """A property that holds after every event of a correct log, whatever was decided.

    Attributes:
        name: The property, in a few words.
        start: Begins a check at the start of a log. The check is called with the sequence number of each event of the
            domain and the event, in order, and returns what is wrong after it, or None.
    """

    name: str
    start: Callable[[], Check]
