"""The checked history: runs events through a domain as a worker does, and finds faults that would fail there."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from eventstore import Event, Filter, RecordedEvent
from eventstore.jsontext import Unstorable, decode_object, encode_object
from handlers.comparison import same, seems_same
from handlers.decision import Accepted, Decision, Rejected
from handlers.deep_copy import deep_copy
from handlers.domain import Domain
from handlers.model import Command, DomainEvent
from handlers.part import Part
from handlers.place import place_of
from handlers.projection import Projection
from handlers.reaction import Reaction, Send
from handlers.reads import Reads
from handlers.row_change import Statement
from handlers.row_tables import RowTables

__all__ = ["CheckedHistory", "NotCopied", "facts_of"]


class NotCopied(UserWarning):
    """Warned of when a state or command cannot be copied: the kit cannot see whether it is changed in place."""


class CheckedHistory:
    """A history for the test kit.

    Args:
        domain: The domain under test.
        events: The events of the history, in order.

    Attributes:
        log: The events as they are read back.

    Raises:
        HandlerError: The domain lacks an event.
        AssertionError: An event does not read back as it was written, or an upcaster is not pure. Each method raises it
            as well for a fault that would fail in a worker or another process; the message explains how.
    """

    def __init__(self, domain: Domain, events: Iterable[DomainEvent | Event]) -> None:
        __tracebackhide__ = True  # for pytest: its reader wrote none of this
        self._domain = domain
        self.log = _read_back(domain, events)

    def decided(self, command: Command) -> tuple[Decision, Reads]:
        """Decide a command; return the decision and what the command reads.

        Raises:
            HandlerError: The domain lacks the command or a view.
        """
        __tracebackhide__ = True
        domain = self._domain
        reads = domain.reads(command)
        states = {part: self.state(part) for part in reads.parts}
        watched = [("the command", command), *((f"the state of {part!r}", state) for part, state in states.items())]
        untouched = [_copy(what, value) for what, value in watched]
        decision, again = (domain.decide(command, reads, states) for _ in range(2))
        decider = domain.decider(type(command).__name__)
        place = f"decide of {decider.name} ({place_of(decider.decide)})"
        if not seems_same(untouched, [value for _, value in watched]):
            raise AssertionError(f"{place} changes the command or a state in place; a worker shares states")
        if decision != again:
            raise AssertionError(f"{place} is not pure: asked twice, it decides {decision!r} and {again!r}")
        _read_back(domain, facts_of(decision))
        return decision, reads

    def state(self, part: Part[Any]) -> Any:
        """Return the state of a part on this history."""
        __tracebackhide__ = True
        for problem in self._domain.examination.problems_of(part):
            raise AssertionError(problem)
        view = part.view
        state = part.initial()
        last: RecordedEvent | None = None
        for event in self.log:
            if not part.filter.holds(event):
                continue
            fact = self._domain.recorded(event)
            watched = [("its state", state), ("the event", fact)]
            untouched = [_copy(f"the state of {part!r}", state), _copy(f"the event {event.type}", fact)]
            after = part.evolved(state, fact)
            for (what, value), before in zip(watched, untouched, strict=True):
                if not seems_same(before, value):
                    raise AssertionError(
                        f"evolve of the view {view.name} ({place_of(view.evolve)}) changes {what} in place "
                        f"at event {event.sequence_number} ({event.type}); a worker shares states and events"
                    )
            state, last = after, event
        if view.stored_every is not None and self._domain.codec(view).write(part, state, last) is None:
            raise AssertionError(
                f"states of the view {view.name} are to be stored, but this one is not read back as it was written: "
                f"{state!r}"
            )
        return state

    def filled(self, projection: Projection) -> RowTables:
        """Apply the changes of a projection to empty tables."""
        __tracebackhide__ = True
        tables = RowTables(projection.tables)
        for event in filter(projection.events.holds, self.log):
            facts = [self._domain.projected(event) for _ in range(2)]
            changes, again = (projection.changed_by(fact) for fact in facts)
            if changes != again:
                raise AssertionError(
                    f"changes of {projection.name} ({projection.place}) is not pure: asked twice about event "
                    f"{event.sequence_number}, it returns {changes!r} and {again!r}"
                )
            for change in changes:
                if isinstance(change, Statement):
                    raise AssertionError(  # noqa: TRY004  the kit's word for what a test has found
                        f"changes of {projection.name} returns a Statement at event {event.sequence_number}, which "
                        "only a server can run: test it with one"
                    )
                tables.apply(change)
        return tables

    def sent(self, reaction: Reaction) -> list[Send]:
        """Return the commands that a reaction sends, in order.

        Raises:
            HandlerError: The domain lacks one of its own commands that is sent, or cannot read it.
        """
        __tracebackhide__ = True
        found: list[Send] = []
        for event in filter(reaction.events.holds, self.log):
            sent, again = (reaction.sent_by(self._domain.projected(event)) for _ in range(2))
            if sent != again:
                raise AssertionError(
                    f"commands of {reaction.name} ({reaction.place}) is not pure: asked twice about event "
                    f"{event.sequence_number}, it returns {sent!r} and {again!r}"
                )
            for each in sent:
                body = _written(reaction, each.command)
                if each.to in {None, self._domain.name}:
                    self._domain.check_sent(reaction, each.command)
                    self._domain.parse(type(each.command).__name__, body)
            found += sent
        return found

    def told(self, parts: Iterable[Part[Any]]) -> str:
        """Describe which events each part matched, and which none did."""
        lines = []
        unseen = {event.sequence_number: event for event in self.log}
        for part in parts:
            seen = [event for event in self.log if part.filter.holds(event)]
            for event in seen:
                unseen.pop(event.sequence_number, None)
            lines.append(f"{part!r} saw {_list(seen)}")
        return "\n".join([*lines, f"not seen: {_list(unseen.values())}"])

    def seen_by(self, asked: Filter) -> str:
        """List the events that a filter matches."""
        return _list(filter(asked.holds, self.log))


def _read_back(domain: Domain, facts: Iterable[DomainEvent | Event]) -> list[RecordedEvent]:
    """Write events as a worker does, and read them back."""
    __tracebackhide__ = True
    given = list(facts)
    written = [fact if isinstance(fact, Event) else domain.to_record(fact, {}) for fact in given]
    log = [event.recorded(number, token=0) for number, event in enumerate(written, start=1)]
    for fact, event in zip(given, log, strict=True):
        again = domain.recorded(event)
        if isinstance(fact, Event):
            if not same(again, third := domain.recorded(event)):
                raise AssertionError(
                    f"an upcaster of {event.type} is not pure: read twice, it is {again!r} and {third!r}"
                )
        elif not same(fact, again):
            raise AssertionError(f"{event.type} is not read back as it was written: {fact!r} comes back as {again!r}")
    return log


def _written(reaction: Reaction, command: Command) -> Mapping[str, Any]:
    """Write a command as it is sent, and return its body."""
    __tracebackhide__ = True
    try:
        return decode_object(encode_object(command.model_dump(by_alias=True)))
    except Unstorable as error:
        raise AssertionError(
            f"commands of {reaction.name} ({reaction.place}) returns a {type(command).__name__} that cannot be sent: "
            f"it {error}"
        ) from error


def _copy(what: str, value: Any) -> Any:
    try:
        return deep_copy(value)
    except Exception as error:  # noqa: BLE001  a class of the domain may raise anything when it is copied
        text = f"{what} cannot be copied, so that a change in place is not seen: {type(error).__name__}: {error}"
        warnings.warn(text, NotCopied, stacklevel=2)
        return value


def _list(events: Iterable[RecordedEvent]) -> str:
    return ", ".join(f"{event.sequence_number} {event.type}" for event in events) or "no event"


def facts_of(decision: Decision) -> tuple[DomainEvent, ...]:
    """Return the events of a decision."""
    if isinstance(decision, Accepted):
        return decision.events
    return (decision.event,) if isinstance(decision, Rejected) and decision.event is not None else ()
