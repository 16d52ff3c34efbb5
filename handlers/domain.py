"""The domain: a named set of views and deciders, with the events, invariants and scenarios that belong to them."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import chain
from types import FunctionType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from eventstore import Event, RecordedEvent
from eventstore.counted import counted
from handlers.affinity import Affinity, checked_shards, key_text, looked_at
from handlers.checks.examination import Examination
from handlers.checks.models import model_problems
from handlers.checks.older_events import OlderEvents
from handlers.checks.projections import projection_problems
from handlers.complaint import complaint_of
from handlers.decider import MOST_PARTS, AnyDecider
from handlers.decision import Decision
from handlers.declared import returns_by_mistake
from handlers.erasure.forgetting import SubjectForgotten
from handlers.erasure.sensitive import marked, sensitive_problems
from handlers.erasure.sensitive_events import SensitiveEvents
from handlers.errors import (
    InvalidCommand,
    InvalidDecision,
    InvalidDomain,
    InvalidParts,
    InvalidState,
    InvalidView,
    UnknownCommand,
    UnknownProjection,
    UnknownView,
)
from handlers.event_codec import EventCodec
from handlers.event_versions import EventVersions, Lineage
from handlers.kind import kind_of
from handlers.model import Command, DomainEvent
from handlers.part import Part
from handlers.place import place_of
from handlers.projection import Projected, Projection
from handlers.reads import Reads
from handlers.scenario import Scenario
from handlers.state_codec import StateCodec
from handlers.upcaster import Upcaster
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
        upcasters: One for each older version of an event, in any order. They read what was recorded in that version.
        projections: Its read models. Each table belongs to one of them.
        invariants: What the oracle checks over a whole log.
        scenarios: What can be run as a load, each under a name of its own.
        affinity: Returns a command's key, such as its book. Commands of one key are decided by one worker process at a
            time. It is pure, and sees nothing but the command. None lets any process decide any command.
        shards: Over how many queues the keys are spread, with affinity: 1 to 128, by default 8. No more processes than
            that have work. It can be changed only while all of them are empty.

    Raises:
        InvalidDomain: The name is not of this form; what is listed is no tuple, or holds something else; two views,
            commands, events or scenarios share a name; a command or an event would not be read as it was written;
            upcasters do not lead from each version to the next, or a view's filter would miss events of older versions;
            states that are to be stored cannot be; the affinity is no function, or the number of shards cannot be. The
            message says which and why.
    """

    name: str
    views: tuple[View[..., Any], ...]
    deciders: tuple[AnyDecider, ...]
    events: tuple[type[DomainEvent], ...]
    invariants: tuple[Invariant, ...] = ()
    scenarios: tuple[type[Scenario], ...] = ()
    affinity: Affinity | None = None
    shards: int | None = None
    upcasters: tuple[Upcaster, ...] = ()
    projections: tuple[Projection, ...] = ()
    _views: dict[str, View[..., Any]] = field(init=False, repr=False, compare=False)
    _deciders: dict[str, AnyDecider] = field(init=False, repr=False, compare=False)
    _versions: EventVersions = field(init=False, repr=False, compare=False)
    _codec: EventCodec = field(init=False, repr=False, compare=False)
    _examination: Examination = field(init=False, repr=False, compare=False)
    _state_codecs: dict[str, StateCodec[Any]] = field(init=False, repr=False, compare=False)
    _sensitive: SensitiveEvents = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InvalidDomain(
                f"a domain's name is up to 50 small letters, digits, _ and -, and begins with a letter; "
                f"{self.name!r} is not"
            )
        object.__setattr__(self, "shards", checked_shards(self.name, self.affinity, self.shards))
        for what in ("views", "deciders", "events", "upcasters", "projections", "invariants", "scenarios"):
            object.__setattr__(self, what, self._listed(what))
        self._refuse_others("views", View)
        self._refuse_others("deciders", AnyDecider)
        self._refuse_others("upcasters", Upcaster)
        self._refuse_others("projections", Projection)
        self._refuse_others("invariants", Invariant)
        for what, given, listed in (("command", self.deciders, "deciders=("), ("event", self.events, "events=(")):
            if not given:
                raise InvalidDomain(f"the domain {self.name} has no {what}: list them, as {listed}…,)")
        self._refuse_models("command", [decider.command for decider in self.deciders], Command, DomainEvent)
        self._refuse_models("event", self.events, DomainEvent, Command)
        for scenario in self.scenarios:
            if not isinstance(scenario, type) or not issubclass(scenario, Scenario):
                raise InvalidDomain(
                    f"the domain {self.name} lists {_listed_as(scenario)} among its scenarios, which is no Scenario"
                )
        for what, names in (
            ("views", [view.name for view in self.views]),
            ("kinds of command", [decider.name for decider in self.deciders]),
            ("kinds of event", [event.__name__ for event in self.events]),
            ("projections", [projection.name for projection in self.projections]),
            ("tables", [table.name for projection in self.projections for table in projection.tables]),
            ("scenarios", [scenario.name for scenario in self.scenarios]),
        ):
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise InvalidDomain(f"the domain {self.name} has two {what} with one name: {twice}")
        object.__setattr__(self, "_views", {view.name: view for view in self.views})
        object.__setattr__(self, "_deciders", {decider.name: decider for decider in self.deciders})
        self._refuse_marks()
        versions = EventVersions(self.name, self.events, self.upcasters)
        object.__setattr__(self, "_sensitive", SensitiveEvents(self.events))
        codec = EventCodec(self.name, self._known_events(), versions)
        older = OlderEvents(versions.lineages)
        object.__setattr__(self, "_versions", versions)
        object.__setattr__(self, "_codec", codec)
        object.__setattr__(self, "_examination", Examination(self.views, codec.models, older))
        for problem in chain(
            self._examination.missed(),
            self._hidden(),
            projection_problems(self.projections, codec.models, older),
        ):
            raise InvalidDomain(f"the domain {self.name}: {problem}")
        object.__setattr__(self, "_state_codecs", self._made_codecs())

    def _listed(self, what: str) -> tuple[Any, ...]:
        given = getattr(self, what)
        if isinstance(given, str) or not isinstance(given, Iterable):
            what_it_is = f"{_listed_as(given)} is none; is a comma missing?"
            raise InvalidDomain(f"the domain {self.name} takes a tuple as its {what}, and {what_it_is}")
        return tuple(given)

    def _refuse_others(self, what: str, kind: type) -> None:
        for each in getattr(self, what):
            if not isinstance(each, kind):
                name = "Decider" if kind is AnyDecider else kind.__name__
                raise InvalidDomain(
                    f"the domain {self.name} lists {_listed_as(each)} among its {what}, which is no {name}"
                )

    def _refuse_models(self, what: str, models: Iterable[Any], base: type[BaseModel], other: type[BaseModel]) -> None:
        for model in models:
            is_one = isinstance(model, type) and issubclass(model, base) and model is not base
            if not is_one or issubclass(model, other):
                is_what = f"a {other.__name__} as well" if is_one else f"no subclass of {base.__name__}"
                raise InvalidDomain(
                    f"the domain {self.name} lists {_listed_as(model)} among its {what}s, which is {is_what}"
                )
            for problem in model_problems(model):
                raise InvalidDomain(f"the domain {self.name} has the {what} {model.__name__}, but {problem}")

    def _known_events(self) -> tuple[type[DomainEvent], ...]:
        # What its views are read together with, it must be able to read.
        if not self._sensitive or SubjectForgotten in self.events:
            return self.events
        if any(event.__name__ == SubjectForgotten.__name__ for event in self.events):
            raise InvalidDomain(
                f"the domain {self.name} has an event {SubjectForgotten.__name__} of its own, and that is what "
                "records that a person was forgotten: use handlers.SubjectForgotten, or give yours another name"
            )
        return (*self.events, SubjectForgotten)

    def _hidden(self) -> Iterator[str]:
        return filter(None, map(self._sensitive.problem, self._examination.samples()))

    def _refuse_marks(self) -> None:
        for event in self.events:
            for problem in sensitive_problems(event):
                raise InvalidDomain(f"the domain {self.name} has the event {event.__name__}, but {problem}")
        for decider in self.deciders:
            hidden = {name for name, _, _ in marked(decider.command)}
            if hidden and self.affinity and (seen := looked_at(self.affinity, decider.command, hidden)):
                raise InvalidDomain(
                    f"the affinity of the domain {self.name} looks at {seen} of {decider.name}, which is Sensitive: a "
                    "key stands in the messages' headers, for all who see them; use another field"
                )

    def _made_codecs(self) -> dict[str, StateCodec[Any]]:
        try:
            return {view.name: StateCodec(view, self.recorded) for view in self.views if view.stored_every is not None}
        except InvalidView as error:
            raise InvalidDomain(f"the domain {self.name}: {error}") from error

    @property
    def lineages(self) -> Mapping[str, Lineage]:
        """The versions of its events that have changed, by every name that each had or has."""
        return self._versions.lineages

    @property
    def event_models(self) -> Mapping[str, type[DomainEvent]]:
        """Its events, by every name that they had or have."""
        return self._codec.models

    def scenario(self, name: str) -> type[Scenario] | None:
        """Return the scenario of this name; None if there is none."""
        return next((scenario for scenario in self.scenarios if scenario.name == name), None)

    def affinity_key(self, command: Command) -> str | None:
        """Return the text by which a command is spread over the shards; None without affinity.

        Raises:
            InvalidKey: The affinity returns what is no key.
            Exception: Whatever the affinity raises.
        """
        return None if self.affinity is None else key_text(self.name, self.affinity, command)

    def has_command(self, command_type: str) -> bool:
        """Whether it has a command of this name."""
        return command_type in self._deciders

    def decider(self, command_type: str) -> AnyDecider:
        """Return who decides commands of this name.

        Raises:
            UnknownCommand: Nobody does.
        """
        try:
            return self._deciders[command_type]
        except KeyError:
            close = get_close_matches(command_type[:100], self._deciders, n=1)
            known = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(self._deciders))}"
            raise UnknownCommand(f"the domain {self.name} has no command {command_type[:100]!r}; {known}") from None

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

    def projection(self, name: str) -> Projection:
        """Return the projection of this name.

        Raises:
            UnknownProjection: There is none; the message names one that is spelt alike.
        """
        known = {projection.name: projection for projection in self.projections}
        try:
            return known[name]
        except KeyError:
            close = get_close_matches(name, known, n=1)
            told = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known)) or 'none'}"
            raise UnknownProjection(f"the domain {self.name} has no projection {name[:100]!r}; {told}") from None

    def projected(self, event: RecordedEvent) -> Projected[Any]:
        """Read a recorded event as projections see it. Raises as ``recorded``."""
        return Projected(
            event=self._codec.recorded(event),
            number=event.sequence_number,
            occurred_at=event.occurred_at,
            metadata=event.metadata,
        )

    def codec(self, view: View[..., S]) -> StateCodec[S]:
        """Return what writes and reads the states of a view that has them stored.

        Raises:
            UnknownView: The domain lists no such view, or it stores nothing.
        """
        try:
            return self._state_codecs[view.name]
        except KeyError:
            raise UnknownView(f"the domain {self.name} stores no states of a view {view.name}") from None

    @property
    def sensitive(self) -> SensitiveEvents:
        """Its events that have Sensitive fields, and what is done about them."""
        return self._sensitive

    def problems_of(self, part: Part[Any]) -> Iterator[str]:
        """Iterate over what is wrong with a part's filter, a sentence each.

        No event of the domain can ever match a part of it, or it is another one when it is made again.
        """
        return self._examination.problems_of(part)

    def problems(self) -> Iterator[str]:
        """Iterate over what is wrong with the domain's views as far as it shows before they are used, a sentence each.

        Looks at each view's filter at a key made from the types that its ``events`` declares. Whether the views that
        deciders read are listed shows when they decide.
        """
        return self._examination.problems()

    def unsampled(self) -> Iterator[str]:
        """Iterate over the views that ``problems`` cannot look at, a sentence each."""
        return self._examination.unsampled()

    def asked_fields(self) -> Iterator[tuple[str, str, str]]:
        """Iterate over the fields that views look at, as far as samples show: event type, field and view."""
        return self._examination.asked()

    def reads(self, command: Command, *, most: int = MOST_PARTS) -> Reads:
        """Return what a command reads.

        Args:
            command: The command.
            most: How many parts it may read.

        Raises:
            UnknownCommand: The domain has no such command.
            InvalidParts: Its decider names something else than parts of the domain's views, or too many.
            InvalidFilter: No event can hold a value of a key: the command can never be decided.
            InvalidView: As ``refuse_if_missing``.
        """
        decider = self.decider(type(command).__name__)
        reads = decider.reads(command, most=most)
        for part in reads.parts:
            if self._views.get(part.view.name) is not part.view:
                raise InvalidParts(
                    f"parts of {decider.name} ({decider.place}) names the view {part.view.name}, "
                    f"which the domain {self.name} does not list; add it to its views"
                )
            if self.upcasters or self._sensitive:
                self.refuse_if_missing(part)
        return reads

    def refuse_if_missing(self, part: Part[Any]) -> None:
        """Refuse a part whose filter would miss events of older versions, or looks at what is recorded sealed.

        Most are refused when the domain is made. Where no sample of a view's key can be made, or its filter is another
        one at another key, it shows here.

        Raises:
            InvalidView: It would. The message names the view, its place, and what would be missed.
        """
        for problem in self._examination.missed_by(part):
            raise InvalidView(problem)
        self._sensitive.watched(part)

    def state_digest(self, part: Part[Any]) -> bytes:
        """Return what tells stored states of a part from those of other filters and other upcasters: 16 bytes."""
        watched = self._sensitive.watched(part)
        if self.upcasters:
            return self._versions.digest(watched)
        return part.identity.filter_digest if watched is part.filter else watched.digest

    def fold(self, part: Part[S], state: S, events: Iterable[RecordedEvent]) -> S:
        """Return a part's state after further events, in their order.

        Args:
            part: The part, which has all of these events.
            state: The state before them.
            events: What was recorded.

        Raises:
            UnknownEventType, UnreadableEvent: As ``recorded``.
            InvalidState: ``evolve`` returns None, and declares to return a state.
            Exception: Whatever ``evolve`` raises.
        """
        # Never map(): a StopIteration out of a check or of evolve would end it like the last event.
        for event in events:
            state = self._evolved(part, state, self.recorded(event), event.sequence_number)
        return state

    def advance(self, part: Part[S], state: S, facts: Iterable[DomainEvent]) -> S:
        """Return a part's state after further events that are read already, in their order.

        Args:
            part: The part, which has all of these events.
            state: The state before them.
            facts: The events, as ``recorded`` returns them.

        Raises:
            InvalidState: As ``fold``.
            Exception: Whatever ``evolve`` raises.
        """
        for fact in facts:
            state = self._evolved(part, state, fact, None)
        return state

    def decide(self, command: Command, reads: Reads, states: Mapping[Part[Any], Any]) -> Decision:
        """Decide a command.

        Args:
            command: The command.
            reads: What it reads, as ``reads`` gave it.
            states: The state of each of its parts.

        Raises:
            UnknownCommand: The domain has no such command.
            InvalidDecision: ``decide`` returns something else than a decision, or cannot be called with these states.
            Exception: Whatever ``decide`` raises.
        """
        decider = self.decider(type(command).__name__)
        try:
            decision: object = decider.decide(command, *reads.arguments(states))
        except StopIteration as bug:
            raise RuntimeError(f"decide of {decider.name} raised StopIteration") from bug
        except TypeError as bug:
            if bug.__traceback__ is None or bug.__traceback__.tb_next is not None:
                raise
            # It was never entered.
            raise InvalidDecision(
                f"decide of {decider.name} ({place_of(decider.decide)}) gets "
                f"{counted(1 + len(reads.readings), 'argument')}, the command and what each of its parts gives: {bug}"
            ) from bug
        if not isinstance(decision, Decision):
            raise InvalidDecision(
                f"decide of {decider.name} ({place_of(decider.decide)}) returns Accepted(…), Rejected(…) or "
                f"Unchanged(), not {kind_of(decision)}; does each of its branches return one?"
            )
        return decision

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
            raise InvalidCommand(f"{command_type}: {complaint_of(error)}") from None

    def recorded(self, event: RecordedEvent) -> DomainEvent:
        """Read a recorded event.

        Raises:
            UnknownEventType: The domain has no event of this type.
            UnreadableEvent: A field is missing or wrong, or a check of the model's failed in whatever way; the message
                names event and field. Or an upcaster of it failed; then it names the line.
        """
        return self._codec.recorded(event)

    def as_of_today(self, event: RecordedEvent) -> tuple[str, Mapping[str, Any]]:
        """Return a recorded event's type and payload as they would be recorded today.

        Raises:
            UnknownEventType, UnreadableEvent: As ``recorded``.
            InvalidEvent: As ``to_record``.
        """
        if not self._versions.is_older(event):
            return event.type, event.payload
        again = self.to_record(self.recorded(event), {}).recorded(event.sequence_number, event.token)
        return again.type, again.payload

    def to_record(self, fact: DomainEvent, metadata: Mapping[str, Any]) -> Event:
        """Return an event as the store records it.

        Args:
            fact: The event.
            metadata: Who recorded it, in which trace.

        Raises:
            UnknownEventType: The domain has no such event, and so could not read it back.
            InvalidEvent: The store cannot record a value of it.
        """
        return self._codec.to_record(fact, metadata)

    @staticmethod
    def _evolved(part: Part[S], state: S, fact: DomainEvent, number: int | None) -> S:
        try:
            after = part.view.evolve(state, fact)
        except StopIteration as bug:
            raise RuntimeError(f"{_evolve(part)} raised StopIteration at {_which(fact, number)}") from bug
        if after is None and (declared := returns_by_mistake(part.view.evolve)) is not None:
            raise InvalidState(
                f"{_evolve(part)} returns None at {_which(fact, number)}, and declares to return {declared}; does each "
                "of its branches return the state?"
            )
        return after


def _listed_as(given: object) -> str:
    if isinstance(given, type):
        return given.__name__
    return kind_of(given) if isinstance(given, FunctionType) else repr(given)


def _evolve(part: Part[Any]) -> str:
    return f"evolve of the view {part.view.name} ({place_of(part.view.evolve)})"


def _which(fact: DomainEvent, number: int | None) -> str:
    return kind_of(fact) if number is None else f"event {number} ({type(fact).__name__})"
