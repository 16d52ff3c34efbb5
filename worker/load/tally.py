"""The tally: what a load run has sent and received so far."""

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
    """What was sent and answered, updated during the run; it can be read at any time.

    Attributes:
        total: The number of commands of the load, without copies.
        commands: Every distinct command, including the set-up's, by id.
        setup: The ids of the set-up's commands.
        replies: Every reply, by command id.
        outcomes: The number of distinct commands of the load by outcome and reason; the reason may be empty.
        answers: The ids of the load's answered commands, in the order of their answers.
        latencies: For each of them, the seconds from when it was sent, or was due, to its answer.
        moments: For each of them, the seconds from the beginning of the load to its answer.
        messages: The number of messages that were sent, including set-up and copies.
        copies: How many messages repeated a command.
        unanswered: How many messages were not answered in time.
        began: When the load began, on the clock of ``perf_counter``; None before.
        ended: When the load ended, on the clock of ``perf_counter``; None before.
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
        """How many commands of the load are answered."""
        return len(self.answers)

    @property
    def seconds(self) -> float:
        """How long the load has run, or ran, in seconds."""
        if self.began is None:
            return 0.0
        return (perf_counter() if self.ended is None else self.ended) - self.began

    @property
    def throughput(self) -> float:
        """Commands of the load answered a second, over the whole load."""
        return self.answered / self.seconds if self.seconds else 0.0

    @property
    def duplicates(self) -> int:
        """How many answers repeat the one to an earlier message of the same command."""
        return sum(reply.duplicate for replies in self.replies.values() for reply in replies)

    @property
    def refusals(self) -> Counter[tuple[str, str, str]]:
        """The number of commands of the set-up that were rejected or failed, by command type, outcome and reason."""
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
            due: When the command was sent, or was due, on the clock of ``perf_counter``.
        """
        now = perf_counter()
        if reply.command_id is not None:
            self.answers.append(reply.command_id)
        self.latencies.append(now - due)
        self.moments.append(now - (self.began or now))
        self.outcomes[reply.outcome, reply.reason or ""] += 1
