"""The counters: every delivery that came in is accounted for."""

from collections import Counter
from enum import StrEnum

from eventstore.counted import counted
from worker.reporting.latency import LatencyHistogram

__all__ = ["UNKNOWN_COMMAND", "Counters", "End"]

UNKNOWN_COMMAND = "unknown"
"""What a delivery counts as whose command the domain does not know: names that anybody can make up are not counted."""


class End(StrEnum):
    """How a delivery ended. Each ends exactly once."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"
    RETRIED = "retried"
    DEAD_LETTERED = "dead_lettered"
    RETURNED = "returned"
    LOST_CHANNEL = "lost_channel"


class Counters:
    """Counts one process's deliveries. ``received`` equals the sum of all ends plus what is in flight.

    Attributes:
        received: How many deliveries came in, redeliveries included.
        in_flight: How many of them have not ended.
        settled: How many ended in which way, by command.
        dead_letters: How many were dead-lettered for which reason.
        attempts: How often commands were decided.
        reads: How many queries were answered for them.
        replica_reads: How many of these by a replica.
        conflicts: How many of these decisions were out of date when they were to be recorded.
        stale_conflicts: How many of these had been read from a replica: the price of its lag, at most.
        holds: How often the store's lock was taken first, for commands that had lost too often.
        failed_replies: How many answers could not be sent.
        misplaced: How many commands came with another affinity key than their domain gives them, or by another shard
            than others of their key.
        latency: How long commands took that were answered, from when they came in.
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
        """Count a delivery that came in."""
        self.received += 1
        self.in_flight += 1

    def end(self, how: End, command: str = UNKNOWN_COMMAND) -> None:
        """Count the end of a delivery.

        Args:
            how: How it ended.
            command: The name of its command, if the domain has one of that name.
        """
        self.settled[how, command] += 1
        self.in_flight -= 1

    @property
    def ends(self) -> Counter[End]:
        """How many deliveries ended in which way."""
        ends: Counter[End] = Counter()
        for (end, _), count in self.settled.items():
            ends[end] += count
        return ends

    @property
    def balanced(self) -> bool:
        """Whether every delivery is accounted for."""
        return self.received == self.ends.total() + self.in_flight and self.in_flight >= 0

    def told(self) -> str:
        """Say the figures that are not zero to a person, in a line."""
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
        """Return the figures by name, in the order in which people ask for them."""
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
