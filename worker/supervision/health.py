"""Health: what a worker process reports about itself to its supervisor and to probes."""

from dataclasses import dataclass

__all__ = ["Health"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The health of a worker process at one moment.

    Attributes:
        live: Whether it works, or waits on purpose. If not, a restart may help.
        ready: Whether it takes commands now.
        reason: Why, for people.
    """

    live: bool
    ready: bool
    reason: str
