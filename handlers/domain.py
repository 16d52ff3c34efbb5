"""The domain: a named set of views and deciders, with the events, invariants and scenarios that belong to them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import chain
from typing import Any, TypeVar

from pydantic import ValidationError

from eventstore import Event, RecordedEvent
from handlers.affinity import Affinity, checked_shards, key_text
from handlers.checks.declaration import LISTS, checked_lists, refuse_name
from handlers.checks.examination import Examination
from handlers.checks.followers import filter_problems
from handlers.checks.older_events import OlderEvents
from handlers.complaint import complaint_of
from handlers.decider import MOST_PARTS, AnyDecider
from handlers.decision import Decision
from handlers.erasure.forgetting import SubjectForgotten
from handlers.erasure.sensitive_events import SensitiveEvents
from handlers.errors import (
    InvalidCommand,
    InvalidDomain,
    InvalidParts,
    InvalidView,
    UnknownCommand,
    UnknownProjection,
    UnknownView,
)
from handlers.event_codec import EventCodec
from handlers.event_versions import EventVersions, Lineage
from handlers.invariant import Invariant
from handlers.model import Command, DomainEvent
from handlers.part import Part
from handlers.projection import Projected, Projection
from handlers.reaction import Reaction
from handlers.reads import Reads
from handlers.relay import Relay
from handlers.scenario import Scenario
from handlers.state_codec import StateCodec
from handlers.upcaster import Upcaster
from handlers.view import View

__all__ = ["Domain"]

S = TypeVar("S")


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
        reactions: What it has sent when something has happened.
        relays: What it tells everybody who listens.
        invariants: What the oracle checks over a whole log.
        scenarios: What can be run as a load, each under a name of its own.
        affinity: Returns a command's key, such as its book. Commands of one key are decided by one worker process at a
            time. It is pure, and sees nothing but the command. None lets any process decide any command.
        shards: Over how many queues the keys are spread, with affinity: 1 to 128, by default 8. No more processes than
            that have work. It can be changed only while all of them are empty.
        examination: Looks at the filters of its views. Whether those that deciders read are listed shows when they
            decide.
        sensitive: Its events that have Sensitive fields, and what is done about them.

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
    reactions: tuple[Reaction, ...] = ()
    relays: tuple[Relay, ...] = ()
    examination: Examination = field(init=False, repr=False, compare=False)
    sensitive: SensitiveEvents = field(init=False, repr=False, compare=False)
    _views: dict[str, View[..., Any]] = field(init=False, repr=False, compare=False)
    _deciders: dict[str, AnyDecider] = field(init=False, repr=False, compare=False)
    _versions: EventVersions = field(init=False, repr=False, compare=False)
    _codec: EventCodec = field(init=False, repr=False, compare=False)
    _state_codecs: dict[str, StateCodec[Any]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        refuse_name(self.name)
        put(self, "shards", checked_shards(self.name, self.affinity, self.shards))
        given = {what: getattr(self, what) for what in LISTS}
        for what, listed in checked_lists(self.name, given, self.affinity).items():
            put(self, what, listed)
        put(self, "_views", {view.name: view for view in self.views})
        put(self, "_deciders", {decider.name: decider for decider in self.deciders})
        versions = EventVersions(self.name, self.events, self.upcasters)
        sensitive = SensitiveEvents(self.events)
        # What its views are read together with, it must be able to read.
        also = (SubjectForgotten,) if sensitive and SubjectForgotten not in self.events else ()
        codec = EventCodec(self.name, (*self.events, *also), versions)
        older = OlderEvents(versions.lineages)
        examination = Examination(self.views, codec.models, older)
        put(self, "_versions", versions)
        put(self, "sensitive", sensitive)
        put(self, "_codec", codec)
        put(self, "examination", examination)
        for problem in chain(
            examination.missed(),
            filter(None, map(sensitive.problem, examination.samples())),
            filter_problems((*self.projections, *self.reactions, *self.relays), codec.models, older),
        ):
            raise InvalidDomain(f"the domain {self.name}: {problem}")
        stored = [view for view in self.views if view.stored_every is not None]
        try:
            put(self, "_state_codecs", {view.name: StateCodec(view, self.recorded) for view in stored})
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
            raise UnknownCommand(self._unknown("decider of the command", command_type[:100], self._deciders)) from None

    def view(self, name: str) -> View[..., Any]:
        """Return the view of this name.

        Raises:
            UnknownView: There is none; the message names one that is spelt alike.
        """
        try:
            return self._views[name]
        except KeyError:
            raise UnknownView(self._unknown("view", name, self._views)) from None

    def projection(self, name: str) -> Projection:
        """Return the projection of this name.

        Raises:
            UnknownProjection: There is none; the message names one that is spelt alike.
        """
        known = {projection.name: projection for projection in self.projections}
        try:
            return known[name]
        except KeyError:
            raise UnknownProjection(self._unknown("projection", name, known)) from None

    def projected(self, event: RecordedEvent) -> Projected[Any]:
        """Read a recorded event as projections and reactions see it. Raises as ``recorded``."""
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
            if self.upcasters or self.sensitive:
                self.refuse_if_missing(part)
        return reads

    def refuse_if_missing(self, part: Part[Any]) -> None:
        """Refuse a part whose filter would miss events of older versions, or looks at what is recorded sealed.

        Most are refused when the domain is made. Where no sample of a view's key can be made, or its filter is another
        one at another key, it shows here.

        Raises:
            InvalidView: It would. The message names the view, its place, and what would be missed.
        """
        for problem in self.examination.missed_by(part):
            raise InvalidView(problem)
        self.sensitive.watched(part)

    def state_digest(self, part: Part[Any]) -> bytes:
        """Return what tells stored states of a part from those of other filters and other upcasters: 16 bytes."""
        watched = self.sensitive.watched(part)
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
        # Never map(): a StopIteration out of a check would end it like the last event.
        for event in events:
            state = part.evolved(state, self.recorded(event), event.sequence_number)
        return state

    def decide(self, command: Command, reads: Reads, states: Mapping[Part[Any], Any]) -> Decision:
        """Decide a command.

        Args:
            command: The command.
            reads: What it reads, as ``reads`` gave it.
            states: The state of each of its parts.

        Raises:
            UnknownCommand: The domain has no such command.
            InvalidDecision, Exception: As ``Decider.decision``.
        """
        return self.decider(type(command).__name__).decision(command, reads, states)

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
        return self._codec.as_of_today(event)

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

    def _unknown(self, what: str, name: str, known: Iterable[str]) -> str:
        close = get_close_matches(name, known, n=1)
        told = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known)) or 'none'}"
        return f"the domain {self.name} has no {what} {name[:100]!r}; {told}"
