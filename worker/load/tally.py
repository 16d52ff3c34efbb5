"""The tally: what a load run has seen so far."""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter
from uuid import UUID

from handlers.decider import Command
from worker.message import Reply

__all__ = ["Tally"]


@dataclass(slots=True)
class Tally:
    """What was published and answered, kept while it happens; who shows it reads it at any time.

    Attributes:
        total: How many commands of the load will be published, copies not counted.
        commands: Every distinct command, the set-up's included, by id.
        setup: The ids of the set-up's commands.
        replies: Every answer, by command id.
        outcomes: How many distinct commands of the load ended in which way; rejections with their reason.
        answers: The load's answered commands, in the order of their answers.
        latencies: Seconds from sending each of them, or from when it was to be sent, to its answer.
        moments: Seconds from the begin of the load to each of their answers.
        messages: How many messages were sent, the set-up and copies included.
        copies: How many messages repeated a command.
        unanswered: How many were not answered in time.
        began: When the load began, on the clock of ``perf_counter``; None before.
        ended: When it was over; None before.
    """

    total: int = 0
    commands: dict[UUID, Command] = field(default_factory=dict)
    setup: set[UUID] = field(default_factory=set)
    replies: dict[UUID, list[Reply]] = field(default_factory=dict)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    answers: list[UUID] = field(default_factory=list)
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    moments: "array[float]" = field(default_factory=lambda: array("d"))
    messages: int = 0
    copies: int = 0
    unanswered: int = 0
    began: float | None = None
    ended: float | None = None

    @property
    def answered(self) -> int:
        """How many commands of the load have their answer."""
        return len(self.answers)

    @property
    def seconds(self) -> float:
        """How long the load has run, or ran."""
        if self.began is None:
            return 0.0
        return (perf_counter() if self.ended is None else self.ended) - self.began

    @property
    def throughput(self) -> float:
        """Commands of the load answered per second, over all of it."""
        return self.answered / self.seconds if self.seconds else 0.0

    @property
    def duplicates(self) -> int:
        """How many answers were given before, to the first message of the same command."""
        return sum(reply.duplicate for replies in self.replies.values() for reply in replies)

    @property
    def refusals(self) -> Counter[tuple[str, str, str]]:
        """How many commands of the set-up were rejected or failed: by command, outcome and reason."""
        return Counter(
            (type(self.commands[key]).__name__, reply.outcome, reply.reason or "")
            for key in self.setup
            for reply in self.replies.get(key, ())[:1]
            if reply.outcome in {"rejected", "failed"}
        )

    def answer(self, reply: Reply, *, due: float) -> None:
        """Note the first answer to a command of the load.

        Args:
            reply: The answer.
            due: When the command was sent, or was to be sent, on the clock of ``perf_counter``.
        """
        now = perf_counter()
        if reply.command_id is not None:
            self.answers.append(reply.command_id)
        self.latencies.append(now - due)
        self.moments.append(now - (self.began or now))
        self.outcomes[reply.outcome, reply.reason or ""] += 1
