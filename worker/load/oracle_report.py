"""The report of the oracle: what it found, with the evidence for everything that is wrong."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from eventstore import RecordedEvent
from handlers.model import Command

__all__ = ["OracleReport", "Violation"]

_MOST_VIOLATIONS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Something that must not be.

    Attributes:
        text: What is wrong, in a sentence.
        events: The events that show it.
        commands: The commands that it is about, by id, as far as this run published them.
    """

    text: str
    events: tuple[RecordedEvent, ...] = ()
    commands: Mapping[UUID, Command] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text

    def evidence(self) -> list[str]:
        """Return the events and commands, each in a line."""
        events = [
            f"event {event.sequence_number} {event.type} {event.payload} of command "
            f"{event.metadata.get('command_id', '?')}"
            for event in self.events
        ]
        commands = [
            f"command {command_id} {type(command).__name__} {command.model_dump(by_alias=True)}"
            for command_id, command in self.commands.items()
        ]
        return events + commands

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {"text": self.text, "evidence": self.evidence()}


@dataclass(slots=True, kw_only=True)
class OracleReport:
    """What the oracle found.

    Attributes:
        events: How many events the log holds.
        receipts: How many receipts of this run there are.
        decided_again: How many of them were decided again from their prefix.
        forgotten: How many of these read or recorded a value whose subject was forgotten since. Where such a one is
            decided differently today, that is no violation.
        compared: How often a long part was folded once more, from a read of its own, and came to the same state.
        attempts: How many commands of the load, the set-up left out, were decided how often until they had their
            receipt.
        tried_again: How often each of them was decided, of those that were decided more than once.
        invariants: The names of the invariants that were checked over every event.
        violations: What is wrong; at most the first twenty.
        violation_count: How many violations there are in all.
        seconds: How long it took.
    """

    events: int = 0
    receipts: int = 0
    decided_again: int = 0
    forgotten: int = 0
    compared: int = 0
    attempts: Counter[int] = field(default_factory=Counter)
    tried_again: dict[UUID, int] = field(default_factory=dict)
    invariants: tuple[str, ...] = ()
    violations: list[Violation] = field(default_factory=list)
    violation_count: int = 0
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return self.violation_count == 0

    @property
    def conflicts(self) -> int:
        """How many decisions on commands of the load were out of date when they were to be recorded."""
        return sum((number - 1) * count for number, count in self.attempts.items())

    def add(self, other: "OracleReport") -> None:
        """Add what was found in another store of the same run."""
        self.events += other.events
        self.receipts += other.receipts
        self.decided_again += other.decided_again
        self.forgotten += other.forgotten
        self.compared += other.compared
        self.attempts += other.attempts
        self.tried_again |= other.tried_again
        self.invariants += other.invariants
        self.violations += other.violations[: _MOST_VIOLATIONS - len(self.violations)]
        self.violation_count += other.violation_count
        self.seconds += other.seconds

    def violated(
        self, text: str, *, events: Iterable[RecordedEvent] = (), commands: Mapping[UUID, Command] | None = None
    ) -> None:
        """Note that something is wrong.

        Args:
            text: What, in a sentence.
            events: The events that show it.
            commands: The commands that it is about.
        """
        self.violation_count += 1
        if len(self.violations) < _MOST_VIOLATIONS:
            self.violations.append(Violation(text=text, events=tuple(events), commands=dict(commands or {})))
