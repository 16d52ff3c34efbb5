"""The decider: the pure part of a handler, between the read and the append."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, NoReturn, TypeVar, final, overload

from eventstore.counted import counted
from handlers.decision import Accepted, Decision, Rejected, Unchanged
from handlers.errors import InvalidDecider, InvalidDecision, InvalidKey, InvalidParts, InvalidView
from handlers.kind import kind_of
from handlers.model import Command, DomainEvent
from handlers.part import Part, Parts, Reading
from handlers.place import place_of
from handlers.plain_function import refusal
from handlers.reads import Reads
from handlers.view import View

__all__ = [
    "MOST_PARTS",
    "Accepted",
    "AnyDecider",
    "Command",
    "Decider",
    "Decision",
    "DomainEvent",
    "Rejected",
    "Unchanged",
]

MOST_PARTS = 128
"""The default for the largest number of parts that one command may read."""

C = TypeVar("C", bound=Command)
A1 = TypeVar("A1")
A2 = TypeVar("A2")
A3 = TypeVar("A3")
A4 = TypeVar("A4")
A5 = TypeVar("A5")


class AnyDecider:
    """A decider of any kind of command, as listed by a domain. It is constructed as a ``Decider``.

    Attributes:
        command: The class of the commands.
        parts: Returns the parts that a command reads.
        decide: Returns the decision for a command and the states of its parts.
    """

    __slots__ = ("command", "decide", "parts")

    command: type[Command]
    parts: Callable[[Any], Any]
    decide: Callable[..., Decision]

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a decider cannot be changed (tried to set {name})")

    def __repr__(self) -> str:
        return f"Decider({self.name})"

    @property
    def name(self) -> str:
        """The name of the commands that it decides."""
        return _named(self.command)

    @property
    def place(self) -> str:
        """The file and line of its ``parts``."""
        return place_of(self.parts)

    def reads(self, command: Command, *, most: int = MOST_PARTS) -> Reads:
        """Return what a command reads.

        Raises:
            InvalidParts: ``parts`` returns anything but parts, more than ``most`` of them, or uses a view with a key of
                a wrong type.
            InvalidFilter: No event can hold a value of a key, so that the command can never be decided.
            Exception: ``parts`` raised an error.
        """
        try:
            named = self.parts(command)
        except StopIteration as bug:
            raise RuntimeError(f"parts of {self.name} ({self.place}) raised StopIteration") from bug
        except (InvalidKey, InvalidView) as error:
            raise InvalidParts(f"parts of {self.name} ({self.place}): {error}") from error
        if type(named) is Part:
            return Reads((named,), (named,))
        readings = (named,) if isinstance(named, Parts) else named
        if not isinstance(readings, tuple) or not all(isinstance(reading, Reading) for reading in readings):
            raise InvalidParts(
                f"parts of {self.name} ({self.place}) returns a part, parts, or a tuple of these, not {_said(named)}"
            )
        distinct = tuple(dict.fromkeys(part for reading in readings for part in reading.parts))
        if len(distinct) > most:
            raise InvalidParts(
                f"parts of {self.name} ({self.place}) names {len(distinct)} parts; a command reads at most {most}"
            )
        return Reads(readings, distinct)

    def decision(self, command: Command, reads: Reads, states: Mapping[Part[Any], Any]) -> Decision:
        """Decide a command.

        Args:
            command: The command.
            reads: The parts that it reads.
            states: The state of each of these parts.

        Raises:
            InvalidDecision: ``decide`` returns anything but a decision, or cannot be called with these states.
            Exception: ``decide`` raised an error.
        """
        try:
            decision: object = self.decide(command, *reads.arguments(states))
        except StopIteration as bug:
            raise RuntimeError(f"decide of {self.name} raised StopIteration") from bug
        except TypeError as bug:
            if bug.__traceback__ is None or bug.__traceback__.tb_next is not None:
                raise
            # The function was never entered: its parameters do not fit.
            raise InvalidDecision(
                f"decide of {self.name} ({place_of(self.decide)}) gets "
                f"{counted(1 + len(reads.readings), 'argument')}, the command and what each of its parts gives: {bug}"
            ) from bug
        if not isinstance(decision, Decision):
            raise InvalidDecision(
                f"decide of {self.name} ({place_of(self.decide)}) returns Accepted(…), Rejected(…) or "
                f"Unchanged(), not {kind_of(decision)}; does each of its branches return one?"
            )
        return decision


@final
class Decider(AnyDecider, Generic[C]):
    """The decider of one kind of command. Both of its functions are pure.

    Attributes:
        command: The class of the commands.
        parts: Returns what a command reads: one part (``shelf.at(command.product)``), parts of one view at several keys
            (``shelf.at_each(command.products)``), or a tuple of up to five of these. The append conflicts if an event
            of one of them is recorded in between.
        decide: Returns the decision. It gets the command and the state of each part, in order; for ``at_each``, a
            mapping from key to state.

    Raises:
        InvalidDecider: ``parts`` or ``decide`` is no plain function.
    """

    __slots__ = ()

    @overload
    def __init__(
        self, *, command: type[C], parts: Callable[[C], Reading[A1]], decide: Callable[[C, A1], Decision]
    ) -> None: ...
    @overload
    def __init__(
        self, *, command: type[C], parts: Callable[[C], tuple[()]], decide: Callable[[C], Decision]
    ) -> None: ...
    @overload
    def __init__(
        self, *, command: type[C], parts: Callable[[C], tuple[Reading[A1]]], decide: Callable[[C, A1], Decision]
    ) -> None: ...
    @overload
    def __init__(
        self,
        *,
        command: type[C],
        parts: Callable[[C], tuple[Reading[A1], Reading[A2]]],
        decide: Callable[[C, A1, A2], Decision],
    ) -> None: ...
    @overload
    def __init__(
        self,
        *,
        command: type[C],
        parts: Callable[[C], tuple[Reading[A1], Reading[A2], Reading[A3]]],
        decide: Callable[[C, A1, A2, A3], Decision],
    ) -> None: ...
    @overload
    def __init__(
        self,
        *,
        command: type[C],
        parts: Callable[[C], tuple[Reading[A1], Reading[A2], Reading[A3], Reading[A4]]],
        decide: Callable[[C, A1, A2, A3, A4], Decision],
    ) -> None: ...
    @overload
    def __init__(
        self,
        *,
        command: type[C],
        parts: Callable[[C], tuple[Reading[A1], Reading[A2], Reading[A3], Reading[A4], Reading[A5]]],
        decide: Callable[[C, A1, A2, A3, A4, A5], Decision],
    ) -> None: ...
    def __init__(self, *, command: type[C], parts: Callable[[C], Any], decide: Callable[..., Decision]) -> None:
        for what, function in (("parts", parts), ("decide", decide)):
            if (problem := refusal(function)) is not None:
                raise InvalidDecider(f"the decider of {_named(command)} needs a function as its {what}, {problem}")
        object.__setattr__(self, "command", command)
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "decide", decide)


def _named(command: Any) -> str:
    return getattr(command, "__name__", repr(command))


def _said(named: object) -> str:
    if isinstance(named, tuple):
        return f"a tuple with {_said(next(each for each in named if not isinstance(each, Reading)))}"
    if isinstance(named, View):
        return f"a view without its key: write {named.name}.at(…)"
    return kind_of(named)
