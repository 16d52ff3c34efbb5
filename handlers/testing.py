"""A test kit for views and deciders: given these events, when this command arrives, then this is decided.

::

    given = kit(domain)

    given(ReaderRegistered(...)).when(LendBookCopyToReader(...)).then(rejected("book is not in circulation"))
    given(BookCopyLentToReader(...)).sees(lent_out.at(), {"book": "reader"})
    given(recorded(ReaderRegistered, {"ReaderID": "ada"}, version=1)).sees(reader.at("ada"), ...)
    given(forgotten(ReaderRegistered(...))).when(...)
    given(BookCopyLentToReader(...)).fills(lent_out, {books_lent_out: [{"book_id": "book", ...}]})
    given(ReaderContractCanceled(...)).sends(release, [ReleaseReservations(...)])

Events and decisions take the same path as in a worker: each event is written as JSON and read back, and each view gets
exactly the events that its filter matches. The kit also fails, with an explanation, on mistakes that would fail in a
worker:

* a state, an event or a command that is changed in place;
* a decision that differs when the same question is asked again;
* an event that does not read back as it was written, or an upcaster that returns another result the next time;
* a filter that no event of the domain can ever match, or that differs when it is made again;
* a state that is to be stored and does not read back as it was written;
* a value that is no event, part or decision where one is expected.

It warns of a ``when`` without ``then``, which asserts nothing: ``filterwarnings = error`` in pytest's settings makes
that fail, too.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any

from eventstore import Event, RecordedEvent
from handlers.checks.history import CheckedHistory, NotCopied, facts_of
from handlers.decision import Accepted, Decision, Rejected, Unchanged
from handlers.domain import Domain
from handlers.erasure.sensitive import sensitive_fields
from handlers.event_versions import EVENT_VERSION
from handlers.kind import kind_of
from handlers.model import Command, DomainEvent
from handlers.part import Part
from handlers.projection import Projection
from handlers.reaction import Reaction, Send
from handlers.row_change import Row
from handlers.several import several
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
    """Warned of a ``when`` whose decision was never asserted: ``then`` was forgotten."""


def kit(domain: Domain) -> "Callable[..., Given]":
    """Return ``given`` for a domain's tests.

    Raises:
        TypeError: The argument is no ``Domain``.
    """
    _refuse_other("kit takes a Domain", domain, Domain)

    def given(*events: DomainEvent | Event) -> Given:
        """Begin with a history: events of the domain's classes, and ``recorded`` ones of older versions.

        Raises:
            TypeError: An argument is no event.
        """
        __tracebackhide__ = True
        for event in events:
            _refuse_other("given takes events, one after the other", event, DomainEvent | Event)
        return Given(domain, events)

    return given


def recorded(event: type[DomainEvent] | str, payload: Mapping[str, Any], *, version: int = 1) -> Event:
    """Return an event for ``given`` as it was recorded in an older version, for upcasters to convert.

    Args:
        event: The event's class, or its name in that version.
        payload: The payload in that version, by JSON names.
        version: The version; by default 1.

    Raises:
        InvalidEvent: The store cannot record the event.
    """
    name = event if isinstance(event, str) else event.__name__
    return Event(type=name, payload=payload, metadata={EVENT_VERSION: version})


def forgotten(event: DomainEvent) -> Event:
    """Return an event for ``given`` as it reads after the subjects of its Sensitive fields are forgotten.

    Raises:
        TypeError: The event has no Sensitive fields.
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
    """Expect that the command is rejected for this reason, with this failure event or without one."""
    return Rejected(reason=reason, event=event)


def unchanged() -> Unchanged:
    """Expect that the command has no effect."""
    return Unchanged()


@dataclass(frozen=True, slots=True)
class Given:
    """A history to test with.

    Attributes:
        domain: The domain under test.
        events: The events of the history, in order.
    """

    domain: Domain
    events: tuple[DomainEvent | Event, ...]

    def when(self, command: Command) -> "When":
        """Decide a command on this history.

        Raises:
            HandlerError: A worker could not decide the command: the domain lacks it, a view or an event.
            AssertionError: The decision would fail in a worker; the message explains how.
            TypeError: The argument is no command.
        """
        __tracebackhide__ = True  # for pytest: its reader wrote none of this
        _refuse_other("when takes a command", command, Command)
        history = CheckedHistory(self.domain, self.events)
        decision, reads = history.decided(command)
        seen = tuple(event for event in history.log if any(part.filter.holds(event) for part in reads.parts))
        return When(self, command, decision, seen, history.told(reads.parts))

    def sees(self, part: Part[Any], state: Any) -> None:
        """Assert the state of a view on this history.

        Raises:
            HandlerError: The domain lacks the view or an event.
            AssertionError: The state differs, or the view would fail in a worker; the message explains how.
            TypeError: The argument is no part.
        """
        __tracebackhide__ = True
        _refuse_other("sees takes a part, which is a view at a key, such as shelf.at(…)", part, Part)
        if self.domain.view(part.view.name) is not part.view:
            raise AssertionError(f"the domain {self.domain.name} has another view named {part.view.name}")
        history = CheckedHistory(self.domain, self.events)
        shown = history.state(part)
        if shown != state:
            raise AssertionError(f"{part!r} shows {shown!r}\nexpected {state!r}\n{history.told((part,))}")

    def fills(self, projection: Projection, rows: Mapping[Table, Iterable[Mapping[str, Any]]]) -> None:
        """Assert the rows that a projection makes of this history.

        Args:
            projection: A projection of the domain.
            rows: The rows of each of its tables, in any order. Nullable columns may be left out.

        Raises:
            HandlerError: The domain lacks the projection or an event, or a table cannot hold a row.
            AssertionError: The rows differ, the projection would fail in a process, or it uses a ``Statement``, which
                needs a server; the message explains how.
            TypeError: The argument is no projection, or the keys of the rows are no tables.
        """
        __tracebackhide__ = True
        _refuse_other("fills takes a projection", projection, Projection)
        if self.domain.projection(projection.name) is not projection:
            raise AssertionError(f"the domain {self.domain.name} has another projection named {projection.name}")
        _refuse_other("fills takes a mapping from the tables to their rows, {table: [row, …]}", rows, Mapping)
        for table in rows:
            _refuse_other("fills takes the tables themselves, not their names, as the keys of the rows", table, Table)
        if strangers := [table.name for table in rows if table not in projection.tables]:
            raise AssertionError(f"the projection {projection.name} has no table {', '.join(strangers)}")
        history = CheckedHistory(self.domain, self.events)
        tables = history.filled(projection)
        for table in projection.tables:
            found = tables.rows(table)
            expected = [table.insert(**row).row for row in rows.get(table, ())]
            if not _same_rows(found, expected):
                raise AssertionError(
                    f"{table.name} holds {found!r}\nexpected {expected!r}\nmade of {history.seen_by(projection.events)}"
                )

    def sends(self, reaction: Reaction, commands: Command | Send | Iterable[Command | Send]) -> None:
        """Assert the commands that a reaction sends for this history.

        Args:
            reaction: A reaction of the domain.
            commands: All commands that are sent, one or several in order. A plain command stands for one to the
                reaction's own domain.

        Raises:
            HandlerError: The domain lacks an event, or one of its own commands that is sent, or cannot read that.
            AssertionError: The commands differ, or the reaction would fail in a process; the message explains how.
            TypeError: The argument is no reaction, or an expected value is no command.
        """
        __tracebackhide__ = True
        _refuse_other("sends takes a reaction", reaction, Reaction)
        if reaction not in self.domain.reactions:
            raise AssertionError(f"the domain {self.domain.name} does not list the reaction {reaction.name}")
        expected = []
        for command in several(commands, Command | Send):
            _refuse_other("sends takes commands", command, Command | Send)
            expected.append(command if isinstance(command, Send) else Send(command=command))
        history = CheckedHistory(self.domain, self.events)
        found = history.sent(reaction)
        if found != expected:
            raise AssertionError(
                f"{reaction.name} sends {found!r}\nexpected {expected!r}\n"
                f"on account of {history.seen_by(reaction.events)}"
            )


class When:
    """A decision that a test asserts.

    Attributes:
        decision: The decision that was made.
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
        """The decision, for a test that makes its own assertions."""
        self._asserted = True
        return self._decision

    @property
    def seen(self) -> tuple[RecordedEvent, ...]:
        """Every event of the history that a part of the command matched."""
        self._asserted = True
        return self._seen

    def then(self, expected: Decision) -> "Then":
        """Assert the decision.

        Raises:
            AssertionError: The decision differs; the message shows both, and what the decider read.
            TypeError: The expected value is no decision.
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
            warnings.warn(f"when({name}(…)) checks nothing: add .then(…)", NotAsserted, stacklevel=2)


@dataclass(frozen=True, slots=True)
class Then:
    """A decision that is as expected."""

    _given: Given
    _command: Command
    _decision: Decision

    def then_again(self, expected: Decision) -> None:
        """Assert the decision when the same command is decided again, after its own events.

        It finds a part that does not see the command's own events: for instance, a second order of the last piece.

        Raises:
            HandlerError, AssertionError: The decision fails or differs, as in ``when`` and ``then``.
        """
        __tracebackhide__ = True
        after = Given(self._given.domain, (*self._given.events, *facts_of(self._decision)))
        after.when(self._command).then(expected)


def _refuse_other(what: str, given: object, kind: type | UnionType) -> None:
    __tracebackhide__ = True
    if not isinstance(given, kind):
        raise TypeError(f"{what}; {kind_of(given)} is none")


def _same_rows(found: Iterable[Row], expected: Iterable[Row]) -> bool:
    """Return whether two tables have the same rows, each as often."""
    left = list(found)
    for row in expected:
        if row not in left:
            return False
        left.remove(row)
    return not left
