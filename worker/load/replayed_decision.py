"""The replayed decision: one receipt, until its command was decided again and its events were read."""

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
    """A receipt that is checked.

    Attributes:
        key: The command's id.
        first: Sequence number of its first event; None if it has none.
        last: Sequence number of its last event; None if it has none.
        prefix: The number of events in the log when the command was decided.
        kind: The kind of outcome in the receipt.
        reason: The reason in the receipt; None if it has none.
        domain: The domain of the command; None if this run did not publish it.
        command: The command; None if this run did not publish it.
        folds: The folds of the parts to decide on; None if it cannot be decided.
        decided: The repeated decision; None before.
        before: The latest earlier event of its parts; None if there is none.
        events: Its own events, as far as they have been read.
        opened: Its own events with their sealed values decrypted, as far as possible.
        shows_forgotten: Whether it read or recorded a value whose subject has been forgotten since.
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
        """Make it of a receipt."""
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
        """The command's type and id, for people."""
        return f"{type(self.command).__name__} {self.key}"

    def difference(self) -> str | None:
        """Return how the repeated decision differs from the recorded one; None if it does not."""
        if self.decided is None:
            return None
        recorded = self.kind, self.reason, [self._as_of_today(event) for event in self.opened]
        if self.decided == recorded:
            return None
        return f"{self.name} was {_text(recorded)}, but the log up to {self.prefix} makes it {_text(self.decided)}"

    def _as_of_today(self, event: RecordedEvent) -> tuple[str, Mapping[str, Any]]:
        """Return an event in today's version: it may have been recorded by a worker of an earlier release."""
        if self.domain is not None:
            with suppress(HandlerError, EventStoreError):  # reported as an event that cannot be read
                return self.domain.as_of_today(event)
        return event.type, event.payload

    def evidence(self) -> list[RecordedEvent]:
        """Return the events that the decision is about: the latest before it, and its own."""
        return [*([] if self.before is None else [self.before]), *self.events]

    def shut(self) -> None:
        """Drop everything that was only needed for the comparison."""
        self.decided, self.before, self.folds, self.command = None, None, None, None
        self.events.clear()
        self.opened.clear()


def as_recorded(domain: Domain, decision: Decision) -> RecordedDecision:
    """Return a decision in the form in which it would be recorded.

    Raises:
        UnknownEventType: The domain has no such event.
        InvalidEvent: The store cannot record one of its values.
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
