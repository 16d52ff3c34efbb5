"""The fold of a part, for the oracle."""

from dataclasses import dataclass, field
from typing import Any

from eventstore import RecordedEvent
from handlers.contained import Contained
from handlers.domain import Domain
from handlers.model import DomainEvent
from handlers.part import Part

__all__ = ["CannotFold", "PartFold", "begun", "evolved", "raised"]


class CannotFold(Exception):
    """Raised when a view's function raised an exception. The message says which function, and what it raised."""


@dataclass(slots=True, eq=False)
class PartFold:
    """A part's state, folded along the log.

    Attributes:
        domain: The domain of the view.
        part: The part.
        state: The state after its events so far.
        due: How many commands are still to be decided on it.
        count: How many events it has so far.
        facts: These events, while they are few; None once they are too many to keep.
        compared: How many events it had when it was last read and folded separately.
        last: Its latest event; None before any.
        failure: Why it cannot be folded any further; None if it can.
        shows_forgotten: Whether a value of one of its events cannot be decrypted any more, since its subject was
            forgotten.
        places: Its entries in the index.
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
        CannotFold: ``initial`` raises an exception.
    """
    try:
        with Contained():
            return part.initial()
    except Exception as bug:  # any error of a view
        raise CannotFold(f"initial of {part} raised {raised(bug)}") from bug


def evolved(part: Part[Any], state: Any, fact: DomainEvent) -> Any:
    """Return a part's state after one more event.

    Raises:
        CannotFold: ``evolve`` raises an exception.
    """
    try:
        with Contained():
            return part.view.evolve(state, fact)
    except Exception as bug:  # as above
        raise CannotFold(f"evolve of {part} raised {raised(bug)} at {type(fact).__name__}") from bug


def raised(bug: Exception) -> str:
    """Return the type and text of an exception."""
    return f"{type(bug).__name__}: {bug}" if str(bug) else type(bug).__name__
