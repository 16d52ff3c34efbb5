"""A part, as the oracle folds it."""

from dataclasses import dataclass, field
from typing import Any

from eventstore import RecordedEvent
from handlers.contained import Contained
from handlers.domain import Domain
from handlers.model import DomainEvent
from handlers.part import Part

__all__ = ["CannotFold", "PartFold", "begun", "evolved", "raised"]


class CannotFold(Exception):
    """A view's function raised something. The message says which, and what."""


@dataclass(slots=True, eq=False)
class PartFold:
    """A part's state, carried along the log.

    Attributes:
        domain: Whose view it is.
        part: Which part.
        state: The state after its events so far.
        due: How many commands are still to be decided from it.
        count: How many events that are.
        facts: These events, while they are few; None when they became too many to keep.
        compared: How many events it had when it was last folded from a read of its own.
        last: The latest event.
        failure: Why it cannot be folded any further.
        shows_forgotten: Whether a value of an event of it cannot be read any more, since its subject was forgotten.
        places: Where it is entered in the index.
    """

    domain: Domain
    part: Part[Any]
    state: Any
    due: int = 0
    count: int = 0
    facts: list[DomainEvent] | None = field(default_factory=list)
    compared: int = 0
    last: RecordedEvent | None = None
    failure: str | None = None
    shows_forgotten: bool = False
    places: frozenset[tuple[str | None, str | None]] = frozenset()


def begun(part: Part[Any]) -> Any:
    """Return a part's state before any event.

    Raises:
        CannotFold: ``initial`` raises something.
    """
    try:
        with Contained():
            return part.initial()
    except Exception as bug:  # whatever a view of somebody's raises
        raise CannotFold(f"initial of {part} raised {raised(bug)}") from bug


def evolved(part: Part[Any], state: Any, fact: DomainEvent) -> Any:
    """Return a part's state after one more event.

    Raises:
        CannotFold: ``evolve`` raises something.
    """
    try:
        with Contained():
            return part.view.evolve(state, fact)
    except Exception as bug:  # as above
        raise CannotFold(f"evolve of {part} raised {raised(bug)} at {type(fact).__name__}") from bug


def raised(bug: Exception) -> str:
    """Say what was raised."""
    return f"{type(bug).__name__}: {bug}" if str(bug) else type(bug).__name__
