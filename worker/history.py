"""The history: what a message went through before this delivery, as its headers tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = [
    "ATTEMPTS_HEADER",
    "BUGS_HEADER",
    "FIRST_FAILURE_HEADER",
    "History",
    "read_time",
]

ATTEMPTS_HEADER = "worker-attempts"
BUGS_HEADER = "worker-handler-failures"
FIRST_FAILURE_HEADER = "worker-first-failure"

# Far more than any history of ours, and far less than a header can hold.
_MOST_COUNTED = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a message went through before this delivery, as its headers tell.

    Attributes:
        attempts: How often it was sent to the retry queue for a failure of its own.
        bugs: How many of these were failures of a handler.
        first_failure: When it failed first, or None.
    """

    attempts: int = 0
    bugs: int = 0
    first_failure: datetime | None = None

    @classmethod
    def read(cls, headers: Mapping[str, Any]) -> "History":
        """Read the headers. What is not ours or makes no sense counts as no history."""
        return cls(
            attempts=_count(headers.get(ATTEMPTS_HEADER)),
            bugs=_count(headers.get(BUGS_HEADER)),
            first_failure=read_time(headers.get(FIRST_FAILURE_HEADER)),
        )

    def failed(self, now: datetime, *, bug: bool = False) -> "History":
        """Return the history with one more failure."""
        return History(attempts=self.attempts + 1, bugs=self.bugs + bug, first_failure=self.first_failure or now)

    def age(self, now: datetime) -> timedelta:
        """How long ago it failed first; nothing if it never did."""
        return now - self.first_failure if self.first_failure is not None else timedelta()

    def headers(self) -> dict[str, Any]:
        """Write it as headers."""
        if self.first_failure is None:
            return {}
        return {
            ATTEMPTS_HEADER: self.attempts,
            BUGS_HEADER: self.bugs,
            FIRST_FAILURE_HEADER: self.first_failure.isoformat(),
        }


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 < value <= _MOST_COUNTED else 0


def read_time(value: object) -> datetime | None:
    """Read a time from a header of ours; None if it is none."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
