"""The state of a follower, as text for people."""

from enum import StrEnum
from typing import NamedTuple

from worker.reading.followers import FollowerRow

__all__ = ["Severity", "State", "state_of"]


class Severity(StrEnum):
    """The severity of a state, for colours."""

    GOOD = "good"
    REST = "rest"
    BAD = "bad"


class State(NamedTuple):
    """A state.

    Attributes:
        look: Its severity.
        text: Its description, for people.
    """

    look: Severity
    text: str


def state_of(row: FollowerRow, *, is_declared: bool = True) -> State:
    """Return the state of a follower.

    Args:
        row: The follower's row.
        is_declared: Whether a domain of WORKER_DOMAINS declares it; True if that is not known.
    """
    if row.diverged_from is not None:
        return State(Severity.BAD, f"stopped: the log was rewritten from event {row.diverged_from:,} on")
    if row.failure is not None:
        return State(Severity.BAD, f"stopped by event {row.failure.number:,}")
    if row.paused_at is not None:
        return State(Severity.REST, "paused")
    if row.diverged_at is not None:
        return State(Severity.BAD, "derived from a lost history")
    if not is_declared or not row.is_leased:
        return (
            State(Severity.BAD, "no process runs it") if is_declared else State(Severity.REST, "not in WORKER_DOMAINS")
        )
    return State(Severity.GOOD, "running" if row.is_current else "being built")
