"""The invariant: what holds after every event of a right log."""

from collections.abc import Callable
from dataclasses import dataclass

from handlers.model import DomainEvent

__all__ = ["Check", "Invariant"]

Check = Callable[[int, DomainEvent], str | None]
"""Called with each event and its number; returns what is wrong after it, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """What holds after every event of a right log, whoever decided.

    Attributes:
        name: What holds, in a few words.
        start: Begins a check, at the start of a log. The check is called with each event of the domain and its number,
            in order, and returns what is wrong after it, or None.
    """

    name: str
    start: Callable[[], Check]
