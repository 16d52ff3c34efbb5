"""Decisions: what becomes of a command."""

from dataclasses import dataclass

from handlers.model import DomainEvent

__all__ = ["Accepted", "Decision", "Rejected", "Unchanged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The command is done.

    Attributes:
        events: What happened by it, at least one event.
    """

    events: tuple[DomainEvent, ...]

    def __post_init__(self) -> None:
        # A generator is true, also one that gives nothing.
        object.__setattr__(self, "events", tuple(self.events))
        if not self.events:
            raise ValueError("an accepted command records an event; one that has nothing to do is unchanged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The command is refused.

    Attributes:
        reason: Why, for the sender; the same text for the same reason.
        event: Records the refusal, where the domain wants it on record.
    """

    reason: str
    event: DomainEvent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """There is nothing to do: what the command asks for is so already."""


Decision = Accepted | Rejected | Unchanged
