"""Decisions: the outcomes of a command."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from handlers.kind import kind_of
from handlers.model import DomainEvent

__all__ = ["Accepted", "Decision", "Rejected", "Unchanged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The command is accepted.

    Attributes:
        events: The events that it records, at least one.
    """

    events: tuple[DomainEvent, ...]

    def __post_init__(self) -> None:
        if type(self.events) is not tuple:
            # A generator is true, even if it yields nothing.
            object.__setattr__(self, "events", _listed(self.events))
        if not self.events:
            raise ValueError("an accepted command records an event; one that has nothing to do is unchanged")
        for event in self.events:
            _refuse_other_than_event(event, "an accepted command")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The command is refused.

    Attributes:
        reason: The reason, for the sender; the same text for the same reason.
        event: The event that records the refusal, if the domain records it; by default None.
    """

    reason: str
    event: DomainEvent | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.reason, str):
            raise TypeError(f"a rejected command has a text as its reason, not {kind_of(self.reason)}")
        if self.event is not None:
            _refuse_other_than_event(self.event, "a rejected command")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """The command has no effect: what it asks for is so already."""


def _listed(events: Any) -> tuple[Any, ...]:
    if isinstance(events, DomainEvent):
        # A model is iterable, and yields its fields.
        raise TypeError(f"an accepted command has a tuple of events, not {kind_of(events)}: write events=(…,)")
    if not isinstance(events, Iterable):
        raise TypeError(f"an accepted command has a tuple of events, not {kind_of(events)}")
    return tuple(events)


def _refuse_other_than_event(event: Any, whose: str) -> None:
    if not isinstance(event, DomainEvent):
        raise TypeError(f"{whose} records events, and {kind_of(event)} is none")


Decision = Accepted | Rejected | Unchanged
"""The types that a decider may return."""
