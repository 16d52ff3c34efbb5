"""Health: what a worker process reports of itself to its supervisor and to probes."""

from dataclasses import dataclass

__all__ = ["Health"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A worker's own judgement of itself, at one moment.

    Attributes:
        live: Whether it does what it is there for, or rests on purpose. If not, a new start may help.
        ready: Whether it takes commands now.
        reason: Why, for a person.
    """

    live: bool
    ready: bool
    reason: str
