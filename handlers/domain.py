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
from handlers.checks.followers import filter_problems, subject_problems
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
    InvalidReaction,
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
    """The definition of what a worker serves. ``WORKER_DOMAINS`` names such a value.

    Attributes:
        name: The domain's name, also part of its queues' names: up to 50 small letters, digits, ``_`` and ``-``,
            beginning with a letter.
        views: All views: those that deciders read, and those that are only queried.
        deciders: The deciders, one for each kind of command.
        events: The classes of all events that views fold or decisions record.
        upcasters: One upcaster for each older version of an event, in any order. They convert events that were recorded
            in it.
        projections: The read models. Each table belongs to one of them.
        reactions: The reactions: commands that are sent after events.
        relays: The relays: events that are published to any subscriber.
        invariants: The invariants that the oracle checks over a whole log.
        scenarios: The scenarios for load runs, each with a name of its own.
        affinity: Returns a command's key, such as its book. Commands with the same key are decided by one worker
            process at a time. It is pure, and uses nothing but the command. None, the default, lets any process decide
            any command.
        shards: The number of queues that keys are spread over, if there is an affinity: 1 to 128, by default 8. It
            limits how many processes work at once. It can be changed only while all the queues are empty.
        examination: The examination of the views' filters. Whether a decider reads a view that is not listed is found
            out when it decides.
        sensitive: The events with Sensitive fields, and how these are sealed.

    Raises:
        InvalidDomain: The name is invalid; an argument is no tuple, or holds a wrong type; two views, commands, events
            or scenarios share a name; a command or event would not read back as it was written; the upcasters of an
            event do not lead from each version to the next, or a view's filter would miss its older versions; states
            that are to be stored cannot be; the affinity is no function, or the number of shards is out of range. The
            message names the part and the reason.
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
        # It must be able to read these events, because its views are read together with them.
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
            subject_problems(self.relays, codec.models),
        ):
            raise InvalidDomain(f"the domain {self.name}: {problem}")
        stored = [view for view in self.views if view.stored_every is not None]
        try:
            put(self, "_state_codecs", {view.name: StateCodec(view, self.recorded) for view in stored})
        except InvalidView as error:
            raise InvalidDomain(f"the domain {self.name}: {error}") from error

    @property
    def lineages(self) -> Mapping[str, Lineage]:
        """The versions of its events that have changed, by every present and former name."""
        return self._versions.lineages

    @property
    def event_models(self) -> Mapping[str, type[DomainEvent]]:
        """Its event classes, by every present and former name."""
        return self._codec.models

    def scenario(self, name: str) -> type[Scenario] | None:
        """Return the scenario with this name, or None."""
        return next((scenario for scenario in self.scenarios if scenario.name == name), None)

    def affinity_key(self, command: Command) -> str | None:
        """Return the text that assigns a command to a shard; None without affinity.

        Raises:
            InvalidKey: The affinity returns a value that is no key.
            Exception: The affinity raised an error.
        """
        return None if self.affinity is None else key_text(self.name, self.affinity, command)

    def has_command(self, command_type: str) -> bool:
        """Whether the domain has a command with this name."""
        return command_type in self._deciders

    def decider(self, command_type: str) -> AnyDecider:
        """Return the decider of the commands with this name.

        Raises:
            UnknownCommand: The domain has no command with this name.
        """
        try:
            return self._deciders[command_type]
        except KeyError:
            raise UnknownCommand(self._unknown("decider of the command", command_type[:100], self._deciders)) from None

    def check_sent(self, reaction: Reaction, command: Command) -> None:
        """Check that the domain decides a command that a reaction returns for it.

        Raises:
            UnknownCommand: The domain has no command with this name.
            InvalidReaction: The command is another one with this name.
        """
        decider = self.decider(type(command).__name__)
        if not isinstance(command, decider.command):
            raise InvalidReaction(
                f"commands of {reaction.described} returns a {decider.name} that is not the command of this name of "
                f"the domain {self.name}"
            )

    def view(self, name: str) -> View[..., Any]:
        """Return the view with this name.

        Raises:
            UnknownView: The domain has no view with this name; the message names a similar one.
        """
        try:
            return self._views[name]
        except KeyError:
            raise UnknownView(self._unknown("view", name, self._views)) from None

    def projection(self, name: str) -> Projection:
        """Return the projection with this name.

        Raises:
            UnknownProjection: The domain has no projection with this name; the message names a similar one.
        """
        known = {projection.name: projection for projection in self.projections}
        try:
            return known[name]
        except KeyError:
            raise UnknownProjection(self._unknown("projection", name, known)) from None

    def projected(self, event: RecordedEvent) -> Projected[Any]:
        """Convert a recorded event for projections and reactions. Raises like ``recorded``."""
        return Projected(
            event=self._codec.recorded(event),
            number=event.sequence_number,
            occurred_at=event.occurred_at,
            metadata=event.metadata,
        )

    def codec(self, view: View[..., S]) -> StateCodec[S]:
        """Return the codec for the stored states of a view.

        Raises:
            UnknownView: The domain does not list the view, or the view stores no states.
        """
        try:
            return self._state_codecs[view.name]
        except KeyError:
            raise UnknownView(f"the domain {self.name} stores no states of a view {view.name}") from None

    def reads(self, command: Command, *, most: int = MOST_PARTS) -> Reads:
        """Return what a command reads.

        Args:
            command: The command.
            most: The largest number of parts that it may read.

        Raises:
            UnknownCommand: The domain has no such command.
            InvalidParts: The decider names anything but parts of the domain's views, or too many parts.
            InvalidFilter: No event can hold a value of a key, so that the command can never be decided.
            InvalidView: The filter of a part is refused, as in ``refuse_if_missing``.
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
        """Refuse a part whose filter would miss older versions of events, or uses a field that is recorded sealed.

        Most of these are found when the domain is constructed. This finds those of views for which no sample key can be
        made, or whose filter differs between keys.

        Raises:
            InvalidView: The filter would miss events. The message names the view, its place, and what would be missed.
        """
        for problem in self.examination.missed_by(part):
            raise InvalidView(problem)
        self.sensitive.watched(part)

    def state_digest(self, part: Part[Any]) -> bytes:
        """Return a digest of 16 bytes that separates stored states by their filter and upcasters."""
        watched = self.sensitive.watched(part)
        if self.upcasters:
            return self._versions.digest(watched)
        return part.identity.filter_digest if watched is part.filter else watched.digest

    def fold(self, part: Part[S], state: S, events: Iterable[RecordedEvent]) -> S:
        """Fold further events onto a part's state, in order, and return the new state.

        Args:
            part: The part; its filter matches all of the events.
            state: The state before the events.
            events: The recorded events.

        Raises:
            UnknownEventType, UnreadableEvent: An event has an unknown type or cannot be read, as in ``recorded``.
            InvalidState: ``evolve`` returns None although it declares to return a state.
            Exception: ``evolve`` raised an error.
        """
        # Not with map(): a StopIteration raised by a check would end it as if there were no more events.
        for event in events:
            state = part.evolved(state, self.recorded(event), event.sequence_number)
        return state

    def decide(self, command: Command, reads: Reads, states: Mapping[Part[Any], Any]) -> Decision:
        """Decide a command.

        Args:
            command: The command.
            reads: The parts that it reads, as returned by ``reads``.
            states: The state of each of these parts.

        Raises:
            UnknownCommand: The domain has no such command.
            InvalidDecision, Exception: ``decide`` returned no decision, or raised an error, as in ``Decider.decision``.
        """
        return self.decider(type(command).__name__).decision(command, reads, states)

    def parse(self, command_type: str, body: Mapping[str, Any], *, allow_unknown_fields: bool = True) -> Command:
        """Build a command from its JSON object. Only JSON names count: no filter finds a field by its Python name.

        Args:
            command_type: The command's name.
            body: The command's fields, by their JSON names.
            allow_unknown_fields: Whether unknown fields are ignored; by default True. For commands that a person
                enters, refuse them: a misspelt field would be lost silently.

        Raises:
            UnknownCommand: The domain has no command with this name.
            InvalidCommand: A field is missing or invalid; the message names each one, with the reason.
        """
        model: type[Command] = self.decider(command_type).command
        try:
            return model.model_validate(
                body, extra=None if allow_unknown_fields else "forbid", by_alias=True, by_name=False
            )
        except ValidationError as error:
            raise InvalidCommand(f"{command_type}: {complaint_of(error)}") from None

    def recorded(self, event: RecordedEvent) -> DomainEvent:
        """Convert a recorded event into the domain's class.

        Raises:
            UnknownEventType: The domain has no event of this type.
            UnreadableEvent: A field is missing or invalid, a check of the model failed, or an upcaster failed. The
                message names the event and the field, or the upcaster's line.
        """
        return self._codec.recorded(event)

    def as_of_today(self, event: RecordedEvent) -> tuple[str, Mapping[str, Any]]:
        """Return a recorded event's type and payload in its newest version, as they would be recorded now.

        Raises:
            UnknownEventType, UnreadableEvent: The event has an unknown type or cannot be read, as in ``recorded``.
            InvalidEvent: The store cannot record the converted event, as in ``to_record``.
        """
        return self._codec.as_of_today(event)

    def to_record(self, fact: DomainEvent, metadata: Mapping[str, Any]) -> Event:
        """Convert a domain event for the store.

        Args:
            fact: The domain event.
            metadata: The metadata of the recording, such as its writer and trace.

        Raises:
            UnknownEventType: The domain does not list the event, and so could not read it back.
            InvalidEvent: The store cannot record a value of the event.
        """
        return self._codec.to_record(fact, metadata)

    def _unknown(self, what: str, name: str, known: Iterable[str]) -> str:
        close = get_close_matches(name, known, n=1)
        told = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known)) or 'none'}"
        return f"the domain {self.name} has no {what} {name[:100]!r}; {told}"
