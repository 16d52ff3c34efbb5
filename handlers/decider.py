"""The decider: the pure part of a handler, between the query and the append."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from eventstore import Filter

__all__ = ["Accepted", "Command", "Decider", "Decision", "DomainEvent", "Rejected", "Unchanged"]


class Command(BaseModel):
    """Base of a domain's commands. The class's name is the command's name; fields may have JSON names of their own.

    Unknown fields are passed over: a newer publisher may send more than this program reads.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_name=True, validate_by_alias=True)


class DomainEvent(BaseModel):
    """Base of a domain's events. The class's name is the event's type.

    Unknown fields are passed over: a newer worker may have recorded more than this program reads.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_name=True, validate_by_alias=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The command is done.

    Attributes:
        events: What happened by it, at least one event.
    """

    events: tuple[DomainEvent, ...]

    def __post_init__(self) -> None:
        if not self.events:
            raise ValueError("an accepted command records an event; one that has nothing to do is unchanged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The command is refused.

    Attributes:
        reason: Why, for whoever sent it; the same text for the same reason.
        event: Records the refusal, where the domain wants it on record.
    """

    reason: str
    event: DomainEvent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """There is nothing to do: what the command asks for is so already."""


Decision = Accepted | Rejected | Unchanged

C = TypeVar("C", bound=Command)
S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider(Generic[C, S]):
    """How one kind of command is decided. Every function is pure; states and events are immutable.

    Attributes:
        command: The kind of command.
        boundary: Which events matter to a command. An append is refused when one of them came in meanwhile.
        initial: The state before any event. It depends on nothing of the command that its boundary does not name:
            commands with one boundary share their states.
        evolve: The state after one more event of the boundary.
        decide: What is to be done, given the state after all events of the boundary.
        version: Raise it whenever ``initial`` or ``evolve`` change their meaning: kept states of older versions are
            not used any more.
    """

    command: type[C]
    boundary: Callable[[C], Filter]
    initial: Callable[[C], S]
    evolve: Callable[[S, DomainEvent], S]
    decide: Callable[[C, S], Decision]
    version: int = 1

    @property
    def name(self) -> str:
        """The name of the commands it decides."""
        return self.command.__name__

    def fold(self, state: S, events: Iterable[DomainEvent]) -> S:
        """Return the state after further events, in their order."""
        for event in events:
            state = self.evolve(state, event)
        return state
