"""The job: one command in the scheduler."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import msgspec
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

from eventstore import Position, RecordedEvent
from handlers.part import Part
from worker.message import CommandMessage
from worker.rounds.part_entry import PartEntry
from worker.rounds.prepared_command import PreparedCommand
from worker.settlement import Answer

__all__ = ["Job"]

_log = logging.getLogger(__name__)


_NOWHERE = Context()


def _never() -> bool:
    return False


class Job(msgspec.Struct, eq=False):
    """A command that is to be decided, and its progress.

    Attributes:
        message: The command, as received.
        ended: Called once, with its answer, the error that prevented one, or None if it is given back undecided.
        context: The trace context that it belongs to.
        is_traced: Whether spans are recorded below that context.
        is_abandoned: Returns whether the caller no longer waits for its end.
        may_be_recorded: Whether the command may already be recorded, so that its receipt is to be looked up.
        held_until: Until when it may wait for the store or for an earlier command of its key, on the monotonic clock,
            in seconds.
        affinity_key: The key whose commands keep their order; None if it is not ordered.
        prepared: The parsed command; None before it is parsed.
        entries: The cache entries of its parts, while it is active.
        ticket: Its place among all commands of the domain: a lower ticket is decided first. 0 before it has one.
        started_at: When its handler timeout began, on the monotonic clock, in seconds.
        lost: How many attempts ended in a conflict.
        holds: How often taking the store's lock for it was in vain.
        is_recorded: Whether a receipt of it was found.
        was_sent: Whether it was sent to the store before without an answer.
        is_looked_up: Whether no look-up of its receipt is pending.
        has_ended: Whether ``ended`` was called.
        is_sent: Whether it is being recorded, so that only the store's answer can end it.
        read_from_replica: Whether a replica answered a read of this attempt.
        missing: The parts whose reads it waits for.
        unconfirmed: How often it failed in a round, but not on a snapshot of recorded events.
        is_decided_alone: Whether it must be decided with nothing else in progress.
        is_alone: Whether it waits to be decided alone.
        is_waiting: Whether it waits for reads of parts or for the look-up of its receipt.
        holds_key: Whether later commands of its key wait until it is decided.
        is_held_back: Whether it is ready and waits for an earlier command of its key.
        events_read: How many events were read for this attempt.
        has_read: Whether this attempt read anything.
        position_read: Sequence number of the log's head at the last read of this attempt.
        waited: How long it rested before this attempt, in seconds.
        span: The span of this attempt.
        attempt_context: The trace context for child spans of this attempt.
        relied_on: The event that it was decided on and that was not recorded, before it is decided again.
        followers: Other commands with its id, which wait for its answer.
    """

    message: CommandMessage
    ended: Callable[["Job", Answer | Exception | None], None]
    context: Context
    is_traced: bool = True
    is_abandoned: Callable[[], bool] = _never
    may_be_recorded: bool = False
    held_until: float = math.inf
    affinity_key: str | None = None
    prepared: PreparedCommand | None = None
    entries: Sequence[PartEntry] = ()
    ticket: int = 0
    started_at: float = msgspec.field(default_factory=time.monotonic)
    lost: int = 0
    holds: int = 0
    is_recorded: bool = False
    was_sent: bool = False
    is_looked_up: bool = True
    has_ended: bool = False
    is_sent: bool = False
    read_from_replica: bool = False
    missing: set[PartEntry] = msgspec.field(default_factory=set)
    unconfirmed: int = 0
    is_decided_alone: bool = False
    is_alone: bool = False
    is_waiting: bool = False
    holds_key: bool = False
    is_held_back: bool = False
    events_read: int = 0
    has_read: bool = False
    position_read: int = 0
    waited: float = 0.0
    span: Span = trace.INVALID_SPAN
    attempt_context: Context = _NOWHERE
    relied_on: RecordedEvent | None = None
    followers: list["Job"] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        self.attempt_context = self.context

    @property
    def attempts(self) -> int:
        """Number of this attempt, from 1. Deciding again without a conflict does not begin another attempt."""
        return self.lost + 1

    def begin(self, waited: float = 0.0) -> None:
        """Begin an attempt.

        Args:
            waited: How long it rested before this attempt, in seconds.
        """
        self.waited = waited
        self.events_read = 0
        self.has_read = self.read_from_replica = False

    def found(self, events: int, position: Position, *, replica: bool) -> None:
        """Note the result of a read of this attempt.

        Args:
            events: How many events of a part were read.
            position: Position of the log's head at the read.
            replica: Whether a replica answered.
        """
        self.events_read += events
        self.position_read = position.number
        self.has_read = True
        self.read_from_replica = self.read_from_replica or replica

    def end(self, happened: Answer | Exception | None) -> None:
        """Call ``ended`` once, with its answer, the error that prevented one, or None if it is given back undecided."""
        if not self.has_ended:
            self.has_ended = True
            try:
                self.ended(self, happened)
            except Exception:  # noqa: BLE001  a callback that fails must not end the round of all others
                _log.exception("the callback for the end of %s failed", self.message.command_type)

    @property
    def command_id(self) -> UUID:
        """The command's id."""
        return self.message.command_id

    @property
    def parts(self) -> tuple[Part[Any], ...]:
        """The parts that it reads; empty before it is parsed."""
        return self.prepared.reads.parts if self.prepared is not None else ()
