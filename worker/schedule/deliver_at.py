"""The header ``deliver-at``: when a command is to be sent, or that it is cancelled."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from worker.message import BadMessage

__all__ = ["DELIVER_AT_HEADER", "LONGEST_DELAY", "NEVER", "deliver_at", "read_deliver_at"]

DELIVER_AT_HEADER = "deliver-at"
NEVER = "never"
"""In place of a time: the command with this id is not to be sent."""
LONGEST_DELAY = timedelta(days=3652)
"""Ten years. A later time is a mistake, such as milliseconds taken for seconds."""

_HOW = "write a time with its offset, such as 2027-01-31T18:00:00Z, or an AMQP timestamp"
_LONGEST_SHOWN = 100


def read_deliver_at(headers: Mapping[str, Any]) -> datetime | None:
    """Read from the headers when a command is to be sent.

    Args:
        headers: The message's headers. The time is a text as in RFC 3339, or an AMQP timestamp.

    Returns:
        The time, in UTC; None if the command is cancelled.

    Raises:
        BadMessage: ``missing_deliver_at`` or ``bad_deliver_at``.
    """
    if DELIVER_AT_HEADER not in headers:
        raise BadMessage("missing_deliver_at", f"the message has no header {DELIVER_AT_HEADER}: {_HOW}")
    given = headers[DELIVER_AT_HEADER]
    if given == NEVER:
        return None
    if given is None:  # timestamps in micro- or nanoseconds are decoded as None as well
        raise _bad("", "is empty, or outside the calendar")
    if isinstance(given, datetime):
        # AMQP timestamps are in UTC.
        return _in_utc(given if given.tzinfo is not None else given.replace(tzinfo=UTC), given)
    if not isinstance(given, str):
        raise _bad(given, f"is a {_kind(given)}, and not a time")
    # A date alone, which the library parses as well, has no offset.
    try:
        time = datetime.fromisoformat(given.upper())
    except ValueError:
        raise _bad(given, "is not a time") from None
    if time.tzinfo is None:
        raise _bad(given, "has no offset from UTC")
    return _in_utc(time, given)


def deliver_at(at: datetime | timedelta) -> str:
    """Return the header's value for a time.

    Args:
        at: The time, with a time zone; or the time from now.

    Raises:
        ValueError: It is no time, has no time zone, is outside the calendar in UTC, or is too far ahead.
    """
    if not isinstance(at, datetime | timedelta):
        kind = type(at).__name__
        raise ValueError(f"its time is a datetime or a timedelta, not a value of type {kind}")  # noqa: TRY004  as for other times
    now = datetime.now(UTC)
    try:
        time = now + at if isinstance(at, timedelta) else at
        if time.utcoffset() is None:
            raise ValueError(f"the time {time} has no time zone: datetime.now(UTC) has one")
        text = time.astimezone(UTC).isoformat()
    except OverflowError:
        raise ValueError(f"the time {at} is outside the calendar") from None
    if time - now > LONGEST_DELAY:
        raise ValueError(f"{time:%Y-%m-%d} is more than ten years ahead")
    return text


def _in_utc(time: datetime, given: object) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise _bad(given, "is outside the calendar") from None


def _bad(given: object, problem: str) -> BadMessage:
    return BadMessage(
        "bad_deliver_at", f"the header {DELIVER_AT_HEADER}, {str(given)[:_LONGEST_SHOWN]!r}, {problem}: {_HOW}"
    )


def _kind(given: object) -> str:
    if isinstance(given, bool):
        return "boolean"
    return "number" if isinstance(given, int | float | Decimal) else "value of another kind"
