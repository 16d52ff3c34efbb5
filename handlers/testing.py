"""A test kit for deciders: given these events, when this command comes, then this is decided.

::

    given = kit(domain)

    given(ReaderRegistered(...)).when(LendBookCopyToReader(...)).then(rejected("book is not in circulation"))

Events pass through the same doors as in a worker: each is written as JSON and read back, and the decider sees those
that lie in the command's boundary, and no other. A boundary that misses an event fails the test, and so does a
decision whose events the domain could not record.
"""

from collections.abc import Callable
from dataclasses import dataclass

from eventstore import RecordedEvent
from handlers.decider import Accepted, Command, Decision, DomainEvent, Rejected, Unchanged
from handlers.domain import Domain

__all__ = ["Given", "When", "accepted", "kit", "rejected", "unchanged"]


def kit(domain: Domain) -> "Callable[..., Given]":
    """Return ``given`` for a domain's tests."""

    def given(*events: DomainEvent) -> Given:
        return Given(domain, events)

    return given


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
    events: tuple[DomainEvent, ...]

    def when(self, command: Command) -> "When":
        """Decide a command on this history.

        Raises:
            HandlerError: A worker could not decide it: the domain lacks the command, or an event of the history or of
                the decision.
        """
        decider = self.domain.decider(type(command).__name__)
        boundary = decider.boundary(command)
        written = (self.domain.to_record(event, {}) for event in self.events)
        recorded = (event.recorded(number, token=0) for number, event in enumerate(written, start=1))
        seen = [event for event in recorded if boundary.holds(event)]
        state = decider.fold(decider.initial(command), map(self.domain.recorded, seen))
        decision = decider.decide(command, state)
        for fact in _facts(decision):
            self.domain.to_record(fact, {})
        return When(decision, tuple(seen))


@dataclass(frozen=True, slots=True)
class When:
    """A decision.

    Attributes:
        decision: What was decided.
        seen: The events in the command's boundary.
    """

    decision: Decision
    seen: tuple[RecordedEvent, ...]

    def then(self, expected: Decision) -> None:
        """Hold the decision to what is expected.

        Raises:
            AssertionError: It is another one; the text shows both, and what the decider saw.
        """
        if self.decision != expected:
            seen = ", ".join(f"{event.sequence_number} {event.type}" for event in self.seen) or "no event"
            raise AssertionError(f"decided {self.decision!r}\nexpected {expected!r}\nin its boundary: {seen}")


def _facts(decision: Decision) -> tuple[DomainEvent, ...]:
    if isinstance(decision, Accepted):
        return decision.events
    return (decision.event,) if isinstance(decision, Rejected) and decision.event is not None else ()
