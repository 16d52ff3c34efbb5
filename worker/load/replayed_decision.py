"""The replayed decision: one receipt, until its command has been decided again and its events have come by."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from eventstore import EventStoreError, OutcomeKind, Receipt, RecordedEvent
from eventstore.jsontext import decode_object
from handlers.decision import Accepted, Decision, Rejected
from handlers.domain import Domain
from handlers.errors import HandlerError
from handlers.model import Command, DomainEvent
from worker.load.part_fold import PartFold

__all__ = ["RecordedDecision", "ReplayedDecision", "as_recorded"]

RecordedDecision = tuple[OutcomeKind, str | None, list[tuple[str, Mapping[str, Any]]]]
"""Kind, reason, and each event's type and payload."""


@dataclass(slots=True, eq=False)
class ReplayedDecision:
    """A receipt that is looked into.

    Attributes:
        key: The command's id.
        first: The number of its first event, None without any.
        last: That of its last one.
        prefix: How many events the log had when the command was decided.
        kind: What the receipt says.
        reason: Why, if it says.
        domain: Who decides the command, if this run published it.
        command: The command, if this run published it.
        folds: The parts that it is decided from; None if it cannot be decided.
        decided: The decision that was made again.
        before: The latest event of its parts before it.
        events: Its own events, as far as they have come by.
        opened: The same, with what of their sealed values can be read.
        shows_forgotten: Whether it read or recorded a value whose subject was forgotten since.
    """

    key: UUID | None
    first: int | None
    last: int | None
    prefix: int
    kind: OutcomeKind
    reason: str | None
    domain: Domain | None
    command: Command | None
    folds: tuple[PartFold, ...] | None = None
    decided: RecordedDecision | None = None
    before: RecordedEvent | None = None
    events: list[RecordedEvent] = field(default_factory=list)
    opened: list[RecordedEvent] = field(default_factory=list)
    shows_forgotten: bool = False

    @classmethod
    def of(cls, receipt: Receipt, domain: Domain | None, command: Command | None) -> "ReplayedDecision":
        """Take a receipt."""
        return cls(
            key=receipt.key,
            first=receipt.first,
            last=receipt.last,
            prefix=receipt.first - 1 if receipt.first is not None else receipt.position.number,
            kind=receipt.outcome.kind,
            reason=receipt.outcome.reason,
            domain=domain,
            command=command,
        )

    @property
    def name(self) -> str:
        """What the command is called, for people."""
        return f"{type(self.command).__name__} {self.key}"

    def difference(self) -> str | None:
        """Say how the decision differs from what is on record; None when it does not."""
        if self.decided is None:
            return None
        recorded = self.kind, self.reason, [self._as_of_today(event) for event in self.opened]
        if self.decided == recorded:
            return None
        return f"{self.name} was {_text(recorded)}, but the log up to {self.prefix} makes it {_text(self.decided)}"

    def _as_of_today(self, event: RecordedEvent) -> tuple[str, Mapping[str, Any]]:
        """Return an event as it would be recorded today: it may be the work of a worker of an earlier release."""
        if self.domain is not None:
            with suppress(HandlerError, EventStoreError):  # it is told of as an event that cannot be read
                return self.domain.as_of_today(event)
        return event.type, event.payload

    def evidence(self) -> list[RecordedEvent]:
        """Return the events that the decision is about: the latest before it, and its own."""
        return [*([] if self.before is None else [self.before]), *self.events]

    def shut(self) -> None:
        """Let go of everything that was only needed to compare."""
        self.decided, self.before, self.folds, self.command = None, None, None, None
        self.events.clear()
        self.opened.clear()


def as_recorded(domain: Domain, decision: Decision) -> RecordedDecision:
    """Return a decision in the form in which it would be on record.

    Raises:
        UnknownEventType: The domain has no such event.
        InvalidEvent: The store cannot record a value of it.
    """
    facts: tuple[DomainEvent, ...] = ()
    kind, reason = OutcomeKind.UNCHANGED, None
    if isinstance(decision, Accepted):
        kind, facts = OutcomeKind.ACCEPTED, decision.events
    elif isinstance(decision, Rejected):
        kind, reason = OutcomeKind.REJECTED, decision.reason
        facts = () if decision.event is None else (decision.event,)
    events = [domain.to_record(fact, {}) for fact in facts]
    return kind, reason, [(event.type, decode_object(event.payload_text)) for event in events]


def _text(what: RecordedDecision) -> str:
    kind, reason, events = what
    because = f" ({reason})" if reason else ""
    return f"{kind.value}{because} with {', '.join(name for name, _ in events) or 'no event'}"
