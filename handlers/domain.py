"""The domain: a named set of views and deciders, with the events, invariants and scenarios that belong to them."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from traceback import walk_tb
from typing import Any, TypeVar

from pydantic import ValidationError

from eventstore import Event, RecordedEvent
from handlers.decider import MOST_PARTS, Decider
from handlers.decision import Decision
from handlers.errors import (
    InvalidCommand,
    InvalidDomain,
    InvalidParts,
    UnknownCommand,
    UnknownEventType,
    UnknownView,
    UnreadableEvent,
)
from handlers.model import Command, DomainEvent
from handlers.part import Part
from handlers.reads import Reads
from handlers.scenario import Scenario
from handlers.view import View

__all__ = ["Check", "Domain", "Invariant"]

# It becomes part of queue names and routing keys.
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")
S = TypeVar("S")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """What a worker serves. ``WORKER_DOMAINS`` points at such a value.

    Attributes:
        name: Names its queues, too: up to 50 small letters, digits, ``_`` and ``-``, beginning with a letter.
        views: Every view that its deciders read, and those that are only asked.
        deciders: One a kind of command.
        events: Every kind of event that the views are made of or the decisions record.
        invariants: What the oracle checks over a whole log.
        scenarios: What can be run as a load, each under a name of its own.

    Raises:
        InvalidDomain: The name is not of this form, or two views, commands, events or scenarios share a name.
    """

    name: str
    views: tuple[View[..., Any], ...]
    deciders: tuple[Decider[Any], ...]
    events: tuple[type[DomainEvent], ...]
    invariants: tuple[Invariant, ...] = ()
    scenarios: tuple[type[Scenario], ...] = ()
    _views: dict[str, View[..., Any]] = field(init=False, repr=False, compare=False)
    _deciders: dict[str, Decider[Any]] = field(init=False, repr=False, compare=False)
    _events: dict[str, type[DomainEvent]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidDomain(
                f"a domain's name is up to 50 small letters, digits, _ and -, and begins with a letter; "
                f"{self.name!r} is not"
            )
        views = {view.name: view for view in self.views}
        if len(views) < len(self.views):
            raise InvalidDomain(f"the domain {self.name} has two views with one name")
        deciders = {decider.name: decider for decider in self.deciders}
        events = {event.__name__: event for event in self.events}
        for what, named, given in (("command", deciders, self.deciders), ("event", events, self.events)):
            if not given:
                raise InvalidDomain(f"the domain {self.name} has no {what}")
            if len(named) < len(given):
                raise InvalidDomain(f"the domain {self.name} has two kinds of {what} with one name")
        if len({scenario.name for scenario in self.scenarios}) < len(self.scenarios):
            raise InvalidDomain(f"the domain {self.name} has two scenarios with one name")
        object.__setattr__(self, "_views", views)
        object.__setattr__(self, "_deciders", deciders)
        object.__setattr__(self, "_events", events)

    def scenario(self, name: str) -> type[Scenario] | None:
        """Return the scenario of this name; None if there is none."""
        return next((scenario for scenario in self.scenarios if scenario.name == name), None)

    def has_command(self, command_type: str) -> bool:
        """Whether it has a command of this name."""
        return command_type in self._deciders

    def decider(self, command_type: str) -> Decider[Any]:
        """Return who decides commands of this name.

        Raises:
            UnknownCommand: Nobody does.
        """
        try:
            return self._deciders[command_type]
        except KeyError:
            known = ", ".join(sorted(self._deciders))
            raise UnknownCommand(
                f"the domain {self.name} has no command {command_type[:100]!r}; known are {known}"
            ) from None

    def view(self, name: str) -> View[..., Any]:
        """Return the view of this name.

        Raises:
            UnknownView: There is none; the message names one that is spelt alike.
        """
        try:
            return self._views[name]
        except KeyError:
            close = get_close_matches(name, self._views, n=1)
            known = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(self._views)) or 'none'}"
            raise UnknownView(f"the domain {self.name} has no view {name[:100]!r}; {known}") from None

    def reads(self, command: Command, *, most: int = MOST_PARTS) -> Reads:
        """Return what a command reads.

        Args:
            command: The command.
            most: How many parts it may read.

        Raises:
            UnknownCommand: The domain has no such command.
            InvalidParts: Its decider names something else than parts of the domain's views, or too many.
            InvalidFilter: No event can hold a value of a key: the command can never be decided.
        """
        decider = self.decider(type(command).__name__)
        reads = decider.reads(command, most=most)
        for part in reads.parts:
            if self._views.get(part.view.name) is not part.view:
                raise InvalidParts(
                    f"parts of {decider.name} ({decider.place}) names the view {part.view.name}, "
                    f"which the domain {self.name} does not list"
                )
        return reads

    def fold(self, part: Part[S], state: S, events: Iterable[RecordedEvent]) -> S:
        """Return a part's state after further events, in their order.

        Args:
            part: The part, which has all of these events.
            state: The state before them.
            events: What was recorded.

        Raises:
            UnknownEventType, UnreadableEvent: As ``recorded``.
            Exception: Whatever ``evolve`` raises.
        """
        evolve = part.view.evolve
        # Never map(): a StopIteration out of a check or of evolve would end it like the last event.
        for event in events:
            fact = self.recorded(event)
            try:
                state = evolve(state, fact)
            except StopIteration as bug:
                raise RuntimeError(
                    f"evolve of the view {part.view.name} raised StopIteration at event {event.sequence_number}"
                ) from bug
        return state

    def decide(self, command: Command, reads: Reads, states: Mapping[Part[Any], Any]) -> Decision:
        """Decide a command.

        Args:
            command: The command.
            reads: What it reads, as ``reads`` gave it.
            states: The state of each of its parts.

        Raises:
            UnknownCommand: The domain has no such command.
            Exception: Whatever ``decide`` raises.
        """
        decider = self.decider(type(command).__name__)
        try:
            return decider.decide(command, *reads.arguments(states))
        except StopIteration as bug:
            raise RuntimeError(f"decide of {decider.name} raised StopIteration") from bug

    def parse(self, command_type: str, body: Mapping[str, Any], *, allow_unknown_fields: bool = True) -> Command:
        """Make a command from its JSON object. Only JSON names count: by a field's name in Python, no filter finds it.

        Args:
            command_type: The command's name.
            body: Its fields, by their JSON names.
            allow_unknown_fields: Whether fields that the command does not have are passed over. Who takes commands from
                a person refuses them: a misspelt field would be missed in silence.

        Raises:
            UnknownCommand: The domain has no command of this name.
            InvalidCommand: A field is missing or wrong; the message names each, with the reason.
        """
        model: type[Command] = self.decider(command_type).command
        try:
            return model.model_validate(
                body, extra=None if allow_unknown_fields else "forbid", by_alias=True, by_name=False
            )
        except ValidationError as error:
            raise InvalidCommand(f"{command_type}: {_problems(error)}") from None

    def recorded(self, event: RecordedEvent) -> DomainEvent:
        """Read a recorded event.

        Raises:
            UnknownEventType: The domain has no event of this type.
            UnreadableEvent: A field is missing or wrong, or a check of the model's failed in whatever way; the message
                names event and field.
        """
        model = self._events.get(event.type)
        if model is None:
            raise UnknownEventType(
                f"event {event.sequence_number} has the type {event.type}, which the domain {self.name} does not know"
            )
        try:
            return model.model_validate(event.payload, by_alias=True, by_name=False)
        except ValidationError as error:
            raise UnreadableEvent(
                f"event {event.sequence_number} ({event.type}) cannot be read: {_problems(error)}"
            ) from None
        except Exception as bug:  # whatever a validator of somebody's raises
            raise UnreadableEvent(
                f"event {event.sequence_number} ({event.type}) cannot be read: {_raised(model, bug)}"
            ) from bug

    def to_record(self, fact: DomainEvent, metadata: Mapping[str, Any]) -> Event:
        """Return an event as the store records it.

        Args:
            fact: The event.
            metadata: Who recorded it, in which trace.

        Raises:
            UnknownEventType: The domain has no such event, and so could not read it back.
            InvalidEvent: The store cannot record a value of it.
        """
        name = type(fact).__name__
        if self._events.get(name) is not type(fact):
            raise UnknownEventType(f"the domain {self.name} does not list the event {name} that it is to record")
        return Event(type=name, payload=fact.model_dump(by_alias=True), metadata=metadata)


def _raised(model: type[DomainEvent], bug: Exception) -> str:
    """Say what a check raised, and of which field, where the model's own validators tell."""
    checks = {
        getattr(inspect.unwrap(validator.func), "__code__", None): validator.info.fields
        for validator in model.__pydantic_decorators__.field_validators.values()
    }
    raising = (frame.f_code for frame, _ in walk_tb(bug.__traceback__))
    names = next((fields for code in raising if (fields := checks.get(code))), ())
    where = ", ".join(model.model_fields[name].alias or name for name in names if name in model.model_fields)
    text = f": {bug}" if str(bug) else ""
    return f"{where + ': ' if where else ''}a check of it raised {type(bug).__name__}{text}"


def _problems(error: ValidationError) -> str:
    """Say what is wrong with which field. Values are left out: they may be long, or secret."""
    return "; ".join(
        _problem(problem["type"], ".".join(map(str, problem["loc"])), problem["msg"])
        for problem in error.errors(include_url=False, include_input=False, include_context=False)
    )


def _problem(kind: str, where: str, message: str) -> str:
    if kind == "missing":
        return f"{where} is missing"
    if kind == "extra_forbidden":
        return f"{where} is not a field of it"
    text = message.removeprefix("Value error, ").rstrip(".")
    text = text[:1].lower() + text[1:]
    # What a check of several fields says stands for itself.
    return f"{where}: {text}" if where else text
