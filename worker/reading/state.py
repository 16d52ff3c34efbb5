"""The state of a follower, as a person is told of it wherever it is shown."""

from enum import StrEnum
from typing import NamedTuple

from worker.reading.followers import FollowerRow

__all__ = ["Look", "State", "state_of"]


class Look(StrEnum):
    """How a state is shown, at a glance."""

    GOOD = "good"
    REST = "rest"
    BAD = "bad"


class State(NamedTuple):
    """A state.

    Attributes:
        look: How it is shown.
        text: What it is, in words.
    """

    look: Look
    text: str


def state_of(row: FollowerRow, *, is_declared: bool = True) -> State:
    """Return how a follower stands.

    Args:
        row: The follower.
        is_declared: Whether a domain of WORKER_DOMAINS declares it, as far as that is known.
    """
    if row.diverged_from is not None:
        return State(Look.BAD, f"stopped: the log was rewritten from event {row.diverged_from:,} on")
    if row.failure is not None:
        return State(Look.BAD, f"stopped by event {row.failure.number:,}")
    if row.paused_at is not None:
        return State(Look.REST, "paused")
    if row.diverged_at is not None:
        return State(Look.BAD, "derived from a lost history")
    if not is_declared or not row.is_leased:
        return State(Look.BAD, "nothing runs it") if is_declared else State(Look.REST, "not in WORKER_DOMAINS")
    return State(Look.GOOD, "running" if row.is_current else "being built")
