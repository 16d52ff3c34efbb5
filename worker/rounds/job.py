"""The job: one command on its way through the rounds."""

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

from eventstore import Position
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
    """A command that is to be decided, and how far it has come.

    Attributes:
        message: The command as it came.
        ended: Called once, with its answer, with what kept it from one, or with None if it is given back undecided.
        context: The trace that it belongs to.
        is_traced: Whether spans are recorded below that.
        is_abandoned: Whether nobody can be told of its end any more.
        may_be_recorded: Whether the command may have its answer on record already.
        held_until: How long it may be kept while the store does not answer, or an earlier one of its key has not been
            decided, on the monotonic clock.
        affinity_key: What it keeps its order by; None if by nothing.
        prepared: The command, once it is read.
        entries: What is known of each of its parts, while it is under way.
        ticket: Its place among all: who has a lower one is decided first.
        started_at: Since when its time runs, on the monotonic clock.
        lost: How many of these attempts were lost to others.
        holds: How often it was decided under the lock in vain.
        is_recorded: Whether a receipt of it was found.
        was_sent: Whether it was sent before and has had no answer since.
        is_looked_up: Whether nobody looks for its receipt any more.
        has_ended: Whether it has been told of its end.
        is_sent: Whether it is being recorded, so that nothing but the store can end it.
        read_from_replica: Whether a replica answered a read of this attempt.
        missing: The parts that it waits for.
        unconfirmed: How often it failed in a round, and not on a snapshot of what is on record.
        is_decided_alone: Whether it is to be decided with nothing under way.
        is_alone: Whether it waits for that.
        is_waiting: Whether it waits for parts or for its receipt.
        holds_key: Whether later ones of its key wait until it is decided.
        is_held_back: Whether it has all that it needs, and waits for an earlier one of its key.
        events_read: How many events were read for this attempt.
        has_read: Whether any were read.
        position_read: How far the log was when they were read.
        waited: How long it rested before this attempt, in seconds.
        span: That of this attempt.
        attempt_context: Where the spans of this attempt belong.
        followers: Others with its id, which await its answer.
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
    followers: list["Job"] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        self.attempt_context = self.context

    @property
    def attempts(self) -> int:
        """Which attempt this is, from 1; what is decided again without having lost to others is the same one."""
        return self.lost + 1

    def begin(self, waited: float = 0.0) -> None:
        """Begin an attempt.

        Args:
            waited: How long it rested before, in seconds.
        """
        self.waited = waited
        self.events_read = 0
        self.has_read = self.read_from_replica = False

    def found(self, events: int, position: Position, *, replica: bool) -> None:
        """Note what a read of this attempt found.

        Args:
            events: How many events of a part.
            position: How far the log was.
            replica: Whether a replica answered.
        """
        self.events_read += events
        self.position_read = position.number
        self.has_read = True
        self.read_from_replica = self.read_from_replica or replica

    def end(self, happened: Answer | Exception | None) -> None:
        """Tell of its end, once: its answer, what kept it from one, or None if it is given back undecided."""
        if not self.has_ended:
            self.has_ended = True
            try:
                self.ended(self, happened)
            except Exception:  # noqa: BLE001  one that cannot be told must not end the round of all others
                _log.exception("telling of the end of %s failed", self.message.command_type)

    @property
    def command_id(self) -> UUID:
        """The command's id."""
        return self.message.command_id

    @property
    def parts(self) -> tuple[Part[Any], ...]:
        """What it reads; nothing before it is read itself."""
        return self.prepared.reads.parts if self.prepared is not None else ()
