"""The history: earlier failures of a message, from its headers."""

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

# More than any real history has, and less than a header can hold.
_MOST_COUNTED = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The earlier failures of a message, as noted in its headers.

    Attributes:
        attempts: How often it was sent to the retry queue because of its own failure.
        bugs: How many of these failures were bugs.
        first_failure: When it first failed; None if it never did.
    """

    attempts: int = 0
    bugs: int = 0
    first_failure: datetime | None = None

    @classmethod
    def read(cls, headers: Mapping[str, Any]) -> "History":
        """Read the history from a message's headers. Invalid headers count as no history."""
        return cls(
            attempts=_count(headers.get(ATTEMPTS_HEADER)),
            bugs=_count(headers.get(BUGS_HEADER)),
            first_failure=read_time(headers.get(FIRST_FAILURE_HEADER)),
        )

    def failed(self, now: datetime, *, bug: bool = False) -> "History":
        """Return the history with one more failure at ``now``.

        A first failure later than that was noted by a clock that is ahead, or was set back since: it counts from now.
        """
        first_failure = min(self.first_failure or now, now)
        return History(attempts=self.attempts + 1, bugs=self.bugs + bug, first_failure=first_failure)

    def age(self, now: datetime) -> timedelta:
        """How long before ``now`` it first failed; zero if it never did."""
        return now - self.first_failure if self.first_failure is not None else timedelta()

    def headers(self) -> dict[str, Any]:
        """Return the history as headers; empty if it never failed."""
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
    """Parse a time in one of the worker's headers; in UTC if it has no offset. None if it is not a time."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
