"""The job: one command on its way through the rounds."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

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


def _never() -> bool:
    return False


class Job:
    """A command that is to be decided, and how far it has come.

    Attributes:
        message: The command as it came.
        context: The trace that it belongs to.
        ended: Called once, with its answer, with what kept it from one, or with None if it is given back undecided.
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
        followers: Others with its id, which await its answer.
    """

    __slots__ = (
        "affinity_key",
        "context",
        "ended",
        "entries",
        "events_read",
        "followers",
        "has_ended",
        "has_read",
        "held_until",
        "holds",
        "holds_key",
        "is_abandoned",
        "is_alone",
        "is_decided_alone",
        "is_held_back",
        "is_looked_up",
        "is_recorded",
        "is_sent",
        "is_waiting",
        "lost",
        "may_be_recorded",
        "message",
        "missing",
        "position_read",
        "prepared",
        "read_from_replica",
        "span",
        "started_at",
        "ticket",
        "unconfirmed",
        "waited",
        "was_sent",
    )

    def __init__(
        self,
        message: CommandMessage,
        ended: Callable[["Job", Answer | Exception | None], None],
        *,
        context: Context,
        is_abandoned: Callable[[], bool] = _never,
        may_be_recorded: bool = False,
        held_until: float = math.inf,
        affinity_key: str | None = None,
    ) -> None:
        self.message = message
        self.context = context
        self.ended = ended
        self.is_abandoned = is_abandoned
        self.may_be_recorded = may_be_recorded
        self.held_until = held_until
        self.affinity_key = affinity_key
        self.prepared: PreparedCommand | None = None
        self.entries: Sequence[PartEntry] = ()
        self.ticket = 0
        self.started_at = time.monotonic()
        self.lost = 0
        self.holds = 0
        self.is_recorded = False
        self.was_sent = False
        self.is_looked_up = True
        self.has_ended = False
        self.is_sent = False
        self.missing: set[Part[Any]] = set()
        self.unconfirmed = 0
        self.is_decided_alone = False
        self.is_alone = False
        self.is_waiting = False
        self.holds_key = False
        self.is_held_back = False
        self.events_read = 0
        self.has_read = False
        self.position_read = 0
        self.read_from_replica = False
        self.waited = 0.0
        self.span: Span = trace.INVALID_SPAN
        self.followers: list[Job] = []

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
    def attempt_context(self) -> Context:
        """Where the spans of this attempt belong."""
        return trace.set_span_in_context(self.span, self.context) if self.span.is_recording() else self.context

    @property
    def parts(self) -> tuple[Part[Any], ...]:
        """What it reads; nothing before it is read itself."""
        return self.prepared.reads.parts if self.prepared is not None else ()
