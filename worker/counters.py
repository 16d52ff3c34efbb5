"""The counters: every delivery is accounted for."""

from collections import Counter
from enum import StrEnum

from eventstore.counted import counted
from worker.reporting.latency import LatencyHistogram

__all__ = ["UNKNOWN_COMMAND", "Counters", "End"]

UNKNOWN_COMMAND = "unknown"
"""Label of deliveries whose command type the domain does not know: labels must not grow with arbitrary names."""


class End(StrEnum):
    """The result of a delivery. Each delivery has exactly one."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"
    RETRIED = "retried"
    DEAD_LETTERED = "dead_lettered"
    RETURNED = "returned"
    LOST_CHANNEL = "lost_channel"


class Counters:
    """Counts one process's deliveries. ``received`` equals the sum of all ends plus ``in_flight``.

    Attributes:
        received: Deliveries that arrived, including redeliveries.
        in_flight: Deliveries that have not ended.
        settled: Deliveries that ended, by result and command type.
        dead_letters: Dead-lettered deliveries, by reason.
        attempts: Decisions of commands.
        reads: Reads of parts for commands.
        replica_reads: Those of ``reads`` that a replica answered.
        conflicts: Decisions that conflicted when they were recorded.
        stale_conflicts: Those of ``conflicts`` whose command was read from a replica: the upper limit of the cost of
            its lag.
        holds: How often the store's lock was taken, for commands that had conflicted too often.
        failed_replies: Replies that could not be sent.
        misplaced: Commands whose affinity key differs from the one that their domain gives them, or that came by
            another shard than earlier ones of their key.
        latency: Time from delivery to acknowledgement of commands that were answered.
    """

    def __init__(self) -> None:
        self.received = 0
        self.in_flight = 0
        self.settled: Counter[tuple[End, str]] = Counter()
        self.dead_letters: Counter[str] = Counter()
        self.attempts = 0
        self.reads = 0
        self.replica_reads = 0
        self.conflicts = 0
        self.stale_conflicts = 0
        self.holds = 0
        self.failed_replies = 0
        self.misplaced = 0
        self.latency = LatencyHistogram()

    def begin(self) -> None:
        """Count a delivery that arrived."""
        self.received += 1
        self.in_flight += 1

    def end(self, how: End, command: str = UNKNOWN_COMMAND) -> None:
        """Count the end of a delivery.

        Args:
            how: Its result.
            command: Its command type, if the domain knows it.
        """
        self.settled[how, command] += 1
        self.in_flight -= 1

    @property
    def ends(self) -> Counter[End]:
        """Number of deliveries by result."""
        ends: Counter[End] = Counter()
        for (end, _), count in self.settled.items():
            ends[end] += count
        return ends

    @property
    def balanced(self) -> bool:
        """Whether every delivery is accounted for."""
        return self.received == self.ends.total() + self.in_flight and self.in_flight >= 0

    def told(self) -> str:
        """The figures that are not zero, in a line for people."""
        if not self.received:
            return "no delivery came in"
        ends = self.ends
        how = [f"{ends[end]:,} {end.value.replace('_', '-')}" for end in End if ends[end]]
        how += [f"{self.in_flight:,} not finished"] * bool(self.in_flight)
        parts = [f"{counted(self.received, 'delivery', 'deliveries')}: {', '.join(how)}"]
        for count, one, many, of_them, what in (
            (self.attempts, "decision", None, 0, ""),
            (self.conflicts, "conflict", None, self.stale_conflicts, "after reading a replica"),
            (self.reads, "read", None, self.replica_reads, "answered by a replica"),
            (self.holds, "time the lock was taken first", "times the lock was taken first", 0, ""),
            (self.failed_replies, "reply not sent", "replies not sent", 0, ""),
        ):
            if count:
                parts.append(counted(count, one, many) + (f" ({of_them:,} {what})" if of_them else ""))
        return "; ".join((parts[0], ", ".join(parts[1:]))) if parts[1:] else parts[0]

    def report(self) -> dict[str, int]:
        """Return the figures by name, the most important first."""
        ends = self.ends
        return {
            "received": self.received,
            **{end.value: ends[end] for end in End},
            "in_flight": self.in_flight,
            "attempts": self.attempts,
            "reads": self.reads,
            "replica_reads": self.replica_reads,
            "conflicts": self.conflicts,
            "stale_conflicts": self.stale_conflicts,
            "holds": self.holds,
            "failed_replies": self.failed_replies,
        }
