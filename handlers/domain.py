"""The domain: a named set of deciders, with the events, invariants and scenarios that belong to them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from eventstore import Event, RecordedEvent
from handlers.decider import Command, Decider, DomainEvent
from handlers.errors import InvalidCommand, InvalidDomain, UnknownCommand, UnknownEventType, UnreadableEvent
from handlers.scenario import Scenario

__all__ = ["Check", "Domain", "Invariant"]

# It becomes part of queue names and routing keys.
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")
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
        deciders: One a kind of command.
        events: Every kind of event that the deciders' boundaries may hold or their decisions record.
        invariants: What the oracle checks over a whole log.
        scenarios: What can be run as a load, each under a name of its own.

    Raises:
        InvalidDomain: The name is not of this form, or two commands, two events or two scenarios share a name.
    """

    name: str
    deciders: tuple[Decider[Any, Any], ...]
    events: tuple[type[DomainEvent], ...]
    invariants: tuple[Invariant, ...] = ()
    scenarios: tuple[type[Scenario], ...] = ()
    _deciders: dict[str, Decider[Any, Any]] = field(init=False, repr=False, compare=False)
    _events: dict[str, type[DomainEvent]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidDomain(
                f"a domain's name is up to 50 small letters, digits, _ and -, and begins with a letter; "
                f"{self.name!r} is not"
            )
        deciders = {decider.name: decider for decider in self.deciders}
        events = {event.__name__: event for event in self.events}
        for what, named, given in (("command", deciders, self.deciders), ("event", events, self.events)):
            if not given:
                raise InvalidDomain(f"the domain {self.name} has no {what}")
            if len(named) < len(given):
                raise InvalidDomain(f"the domain {self.name} has two kinds of {what} with one name")
        if len({scenario.name for scenario in self.scenarios}) < len(self.scenarios):
            raise InvalidDomain(f"the domain {self.name} has two scenarios with one name")
        object.__setattr__(self, "_deciders", deciders)
        object.__setattr__(self, "_events", events)

    def scenario(self, name: str) -> type[Scenario] | None:
        """Return the scenario of this name; None if there is none."""
        return next((scenario for scenario in self.scenarios if scenario.name == name), None)

    def has_command(self, command_type: str) -> bool:
        """Whether it has a command of this name."""
        return command_type in self._deciders

    def decider(self, command_type: str) -> Decider[Any, Any]:
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
            UnreadableEvent: A field is missing or wrong; the message names event and field.
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
