"""A test kit for views and deciders: given these events, when this command comes, then this is decided.

::

    given = kit(domain)

    given(ReaderRegistered(...)).when(LendBookCopyToReader(...)).then(rejected("book is not in circulation"))
    given(BookCopyLentToReader(...)).sees(lent_out.at(), {"book": "reader"})
    given(recorded(ReaderRegistered, {"ReaderID": "ada"}, version=1)).sees(reader.at("ada"), ...)
    given(forgotten(ReaderRegistered(...))).when(...)
    given(BookCopyLentToReader(...)).fills(lent_out, {books_lent_out: [{"book_id": "book", ...}]})
    given(ReaderContractCanceled(...)).sends(release, [ReleaseReservations(...)])

Everything passes through the same doors as in a worker: each event is written as JSON and read back, and each view sees
those that its filter holds, and no other. The kit also fails, with a sentence, on what a worker would trip over:

* a state, an event or a command that is changed in place;
* a decision that is another one when the same question is asked again;
* an event that is not read back as it was written, or an upcaster that makes something else of it the next time;
* a filter that no event of the domain can ever match, or that is another one when it is made again;
* a state that is to be stored and is not read back as it was written;
* a value that is no event, no part or no decision, where one belongs.

Of ``when`` without ``then`` it warns, since nothing is left to fail: ``filterwarnings = error`` in pytest's settings
makes that fail, too.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import FunctionType, ModuleType, UnionType
from typing import Any

from eventstore import Event, RecordedEvent
from handlers.comparison import same, seems_same
from handlers.decision import Accepted, Decision, Rejected, Unchanged
from handlers.deep_copy import deep_copy
from handlers.domain import Domain
from handlers.erasure.sensitive import sensitive_fields
from handlers.event_versions import EVENT_VERSION
from handlers.model import Command, DomainEvent
from handlers.part import Part
from handlers.place import place_of
from handlers.projection import Projection
from handlers.reaction import Reaction, Send
from handlers.row_change import Statement
from handlers.row_tables import RowTables
from handlers.table import Table

__all__ = [
    "Given",
    "NotAsserted",
    "NotCopied",
    "Then",
    "When",
    "accepted",
    "forgotten",
    "kit",
    "recorded",
    "rejected",
    "unchanged",
]


class NotAsserted(UserWarning):
    """Warned of when a decision was made and held to nothing: ``then`` was forgotten."""


class NotCopied(UserWarning):
    """Warned of when a state or a command cannot be copied: the kit does not see whether it is changed in place."""


def kit(domain: Domain) -> "Callable[..., Given]":
    """Return ``given`` for a domain's tests.

    Raises:
        TypeError: It is no domain.
    """
    _refuse_other("kit takes a Domain", domain, Domain)

    def given(*events: DomainEvent | Event) -> Given:
        """Begin with a history: events as they are today, and ``recorded`` ones of older versions.

        Raises:
            TypeError: One of these is no event.
        """
        __tracebackhide__ = True
        for event in events:
            _refuse_other("given takes events, one after the other", event, DomainEvent | Event)
        return Given(domain, events)

    return given


def recorded(event: type[DomainEvent] | str, payload: Mapping[str, Any], *, version: int = 1) -> Event:
    """Return an event for ``given`` as it was recorded in an older version, which upcasters read.

    Args:
        event: The event's class, or what it was called then.
        payload: What it held then, by JSON names.
        version: Which version that is.

    Raises:
        InvalidEvent: The store could not record it.
    """
    name = event if isinstance(event, str) else event.__name__
    return Event(type=name, payload=payload, metadata={EVENT_VERSION: version})


def forgotten(event: DomainEvent) -> Event:
    """Return an event for ``given`` as it reads once those are forgotten whom its Sensitive fields belong to.

    Raises:
        TypeError: It has none.
    """
    fields = sensitive_fields(type(event))
    if not fields:
        raise TypeError(f"forgotten takes an event with Sensitive fields; {type(event).__name__} has none")
    payload = event.model_dump(by_alias=True)
    return Event(type=type(event).__name__, payload=payload | {field.name: field.replacement for field in fields})


def accepted(*events: DomainEvent) -> Accepted:
    """Expect that the command is accepted, with these events in this order."""
    return Accepted(events=events)


def rejected(reason: str, event: DomainEvent | None = None) -> Rejected:
    """Expect that the command is rejected for this reason, with this failure event or none."""
    return Rejected(reason=reason, event=event)


def unchanged() -> Unchanged:
    """Expect that there is nothing to do."""
    return Unchanged()


@dataclass(frozen=True, slots=True)
class Given:
    """A history.

    Attributes:
        domain: Whose.
        events: What has happened, in order.
    """

    domain: Domain
    events: tuple[DomainEvent | Event, ...]

    def when(self, command: Command) -> "When":
        """Decide a command on this history.

        Raises:
            HandlerError: A worker could not decide it: the domain lacks the command, the view or an event.
            AssertionError: A worker would trip over it; the text says how.
        """
        __tracebackhide__ = True  # of pytest: its reader wrote none of this
        reads = self.domain.reads(command)
        log = self._log()
        states = {part: self._state(part, log) for part in reads.parts}
        watched = [("the command", command), *((f"the state of {part!r}", state) for part, state in states.items())]
        untouched = [_copy(what, value) for what, value in watched]
        decision, again = (self.domain.decide(command, reads, states) for _ in range(2))
        decider = self.domain.decider(type(command).__name__)
        place = f"decide of {decider.name} ({place_of(decider.decide)})"
        if not seems_same(untouched, [value for _, value in watched]):
            raise AssertionError(f"{place} changes the command or a state in place; a worker shares states")
        if decision != again:
            raise AssertionError(f"{place} is not pure: asked twice, it decides {decision!r} and {again!r}")
        _read_back(self.domain, _facts(decision))
        seen = tuple(event for event in log if any(part.filter.holds(event) for part in reads.parts))
        return When(self, command, decision, seen, _told(log, reads.parts))

    def sees(self, part: Part[Any], state: Any) -> None:
        """Hold what a view shows on this history to what is expected.

        Raises:
            HandlerError: The domain lacks the view or an event.
            AssertionError: The state is another one, or a worker would trip over the view; the text says how.
            TypeError: It is no part.
        """
        __tracebackhide__ = True
        _refuse_other("sees takes a part, which is a view at a key, such as shelf.at(…)", part, Part)
        if self.domain.view(part.view.name) is not part.view:
            raise AssertionError(f"the domain {self.domain.name} has another view named {part.view.name}")
        log = self._log()
        shown = self._state(part, log)
        if shown != state:
            raise AssertionError(f"{part!r} shows {shown!r}\nexpected {state!r}\n{_told(log, (part,))}")

    def fills(self, projection: Projection, rows: Mapping[Table, Iterable[Mapping[str, Any]]]) -> None:
        """Hold the rows that a projection makes of this history to what is expected.

        Args:
            projection: One of the domain's.
            rows: For each of its tables the rows, in any order. A column that may be missing may be left out.

        Raises:
            HandlerError: The domain lacks the projection or an event, or a row cannot be held by its table.
            AssertionError: The rows are others, or a process would trip over the projection; the text says how. So it
                does of a ``Statement``, which needs a server.
            TypeError: It is no projection.
        """
        __tracebackhide__ = True
        _refuse_other("fills takes a projection", projection, Projection)
        if self.domain.projection(projection.name) is not projection:
            raise AssertionError(f"the domain {self.domain.name} has another projection named {projection.name}")
        if strangers := [table.name for table in rows if table not in projection.tables]:
            raise AssertionError(f"the projection {projection.name} has no table {', '.join(strangers)}")
        tables = RowTables(projection.tables)
        seen = [event for event in self._log() if projection.events.holds(event)]
        for event in seen:
            facts = [self.domain.projected(event) for _ in range(2)]
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
        for table in projection.tables:
            found = tables.rows(table)
            expected = [table.insert(**row).row for row in rows.get(table, ())]
            missing = [row for row in expected if row not in found]
            if missing or len(found) != len(expected):
                raise AssertionError(f"{table.name} holds {found!r}\nexpected {expected!r}\nmade of {_list(seen)}")

    def sends(self, reaction: Reaction, commands: Iterable[Command | Send]) -> None:
        """Hold what a reaction sends on account of this history to what is expected.

        Args:
            reaction: One of the domain's.
            commands: All that is sent, in order. A command stands for one to the reaction's own domain.

        Raises:
            HandlerError: The domain lacks an event, or one of its own commands that is sent.
            AssertionError: Something else is sent, or a process would trip over the reaction; the text says how.
            TypeError: It is no reaction, or no command is expected.
        """
        __tracebackhide__ = True
        _refuse_other("sends takes a reaction", reaction, Reaction)
        if reaction not in self.domain.reactions:
            raise AssertionError(f"the domain {self.domain.name} does not list the reaction {reaction.name}")
        expected = []
        for command in commands:
            _refuse_other("sends takes commands", command, Command | Send)
            expected.append(command if isinstance(command, Send) else Send(command=command))
        found: list[Send] = []
        seen = [event for event in self._log() if reaction.events.holds(event)]
        for event in seen:
            sent, again = (reaction.sent_by(self.domain.projected(event)) for _ in range(2))
            if sent != again:
                raise AssertionError(
                    f"commands of {reaction.name} ({reaction.place}) is not pure: asked twice about event "
                    f"{event.sequence_number}, it returns {sent!r} and {again!r}"
                )
            for each in sent:
                if each.to in {None, self.domain.name}:
                    self.domain.decider(type(each.command).__name__)
            found += sent
        if found != expected:
            raise AssertionError(f"{reaction.name} sends {found!r}\nexpected {expected!r}\non account of {_list(seen)}")

    def _log(self) -> list[RecordedEvent]:
        __tracebackhide__ = True
        return _read_back(self.domain, self.events)

    def _state(self, part: Part[Any], log: Iterable[RecordedEvent]) -> Any:
        """Fold a part as a worker does, looking for what it would trip over."""
        __tracebackhide__ = True
        for problem in self.domain.examination.problems_of(part):
            raise AssertionError(problem)
        view = part.view
        state = part.initial()
        last: RecordedEvent | None = None
        for event in log:
            if not part.filter.holds(event):
                continue
            fact = self.domain.recorded(event)
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
        if view.stored_every is not None and self.domain.codec(view).write(part, state, last) is None:
            raise AssertionError(
                f"states of the view {view.name} are to be stored, but this one is not read back as it was written: "
                f"{state!r}"
            )
        return state


class When:
    """A decision, to be held to what is expected.

    Attributes:
        decision: What was decided.
    """

    def __init__(
        self, given: Given, command: Command, decision: Decision, seen: tuple[RecordedEvent, ...], told: str
    ) -> None:
        self._given = given
        self._command = command
        self._decision = decision
        self._seen = seen
        self._told = told
        self._asserted = False

    @property
    def decision(self) -> Decision:
        """What was decided, for a test that looks at it in its own way."""
        self._asserted = True
        return self._decision

    @property
    def seen(self) -> tuple[RecordedEvent, ...]:
        """Every event of the history that a part of the command saw."""
        self._asserted = True
        return self._seen

    def then(self, expected: Decision) -> "Then":
        """Hold the decision to what is expected.

        Raises:
            AssertionError: It is another one; the text shows both, and what the decider saw.
            TypeError: What is expected is no decision.
        """
        __tracebackhide__ = True
        self._asserted = True
        _refuse_other("then takes accepted(…), rejected(…) or unchanged()", expected, Decision)
        if self._decision != expected:
            raise AssertionError(f"decided {self._decision!r}\nexpected {expected!r}\n{self._told}")
        return Then(self._given, self._command, self._decision)

    def __del__(self) -> None:
        if not self._asserted:
            name = type(self._command).__name__
            warnings.warn(f"when({name}(…)) is held to nothing: add .then(…)", NotAsserted, stacklevel=2)


@dataclass(frozen=True, slots=True)
class Then:
    """A decision that is as expected."""

    _given: Given
    _command: Command
    _decision: Decision

    def then_again(self, expected: Decision) -> None:
        """Hold to this what is decided when the same command is decided once more, after its own events.

        It finds a part that does not see what the command itself records: a second order of the last piece.

        Raises:
            HandlerError, AssertionError: As ``when`` and ``then``.
        """
        __tracebackhide__ = True
        after = Given(self._given.domain, (*self._given.events, *_facts(self._decision)))
        after.when(self._command).then(expected)


def _refuse_other(what: str, given: object, kind: type | UnionType) -> None:
    __tracebackhide__ = True
    if not isinstance(given, kind):
        said = given.__name__ if isinstance(given, type | FunctionType | ModuleType) else f"a {type(given).__name__}"
        raise TypeError(f"{what}; {said} is none")


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


def _copy(what: str, value: Any) -> Any:
    try:
        return deep_copy(value)
    except Exception as error:  # noqa: BLE001  whatever a class of somebody's does when it is copied
        text = f"{what} cannot be copied, so that a change in place is not seen: {type(error).__name__}: {error}"
        warnings.warn(text, NotCopied, stacklevel=2)
        return value


def _told(log: Iterable[RecordedEvent], parts: Iterable[Part[Any]]) -> str:
    """Say which events which part saw, and which none did."""
    lines = []
    unseen = {event.sequence_number: event for event in log}
    for part in parts:
        seen = [event for event in log if part.filter.holds(event)]
        for event in seen:
            unseen.pop(event.sequence_number, None)
        lines.append(f"{part!r} saw {_list(seen)}")
    return "\n".join([*lines, f"not seen: {_list(unseen.values())}"])


def _list(events: Iterable[RecordedEvent]) -> str:
    return ", ".join(f"{event.sequence_number} {event.type}" for event in events) or "no event"


def _facts(decision: Decision) -> tuple[DomainEvent, ...]:
    if isinstance(decision, Accepted):
        return decision.events
    return (decision.event,) if isinstance(decision, Rejected) and decision.event is not None else ()
