"""The report of the oracle: what it found, with the evidence for each violation."""

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
    """Something that is wrong.

    Attributes:
        text: What is wrong, in a sentence.
        events: The events that show it.
        commands: The commands that are involved, by id, if this run published them.
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
        """Return it as a JSON object, for programs."""
        return {"text": self.text, "evidence": self.evidence()}


@dataclass(slots=True, kw_only=True)
class OracleReport:
    """The result of the oracle.

    Attributes:
        events: The number of events in the log.
        receipts: The number of receipts of this run.
        reacted: The number of further receipts whose command a reaction sent. They are not decided again.
        decided_again: The number of receipts whose command was decided again.
        forgotten: How many of these read or recorded a value whose subject has been forgotten since. A different
            decision is then no violation.
        compared: How often a long part was read and folded separately, with the same state as a result.
        attempts: The number of commands of the load, without the set-up, by the number of attempts until they had a
            receipt.
        tried_again: The number of attempts of each command that had more than one, by id.
        invariants: The names of the invariants that were checked after every event.
        violations: The violations; at most the first twenty.
        violation_count: The number of all violations.
        seconds: How long the check took.
    """

    events: int = 0
    receipts: int = 0
    reacted: int = 0
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
        """Whether there is no violation."""
        return self.violation_count == 0

    @property
    def conflicts(self) -> int:
        """How many decisions of commands of the load conflicted when they were recorded."""
        return sum((number - 1) * count for number, count in self.attempts.items())

    def add(self, other: "OracleReport") -> None:
        """Add the result of another store of the same run."""
        self.events += other.events
        self.receipts += other.receipts
        self.reacted += other.reacted
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
        """Add a violation.

        Args:
            text: What is wrong, in a sentence.
            events: The events that show it.
            commands: The commands that are involved, by id.
        """
        self.violation_count += 1
        if len(self.violations) < _MOST_VIOLATIONS:
            self.violations.append(Violation(text=text, events=tuple(events), commands=dict(commands or {})))
