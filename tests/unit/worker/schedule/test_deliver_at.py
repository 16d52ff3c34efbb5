"""The header with the time at which a command is to be sent: accepted and refused values."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from worker.message import BadMessage
from worker.schedule.deliver_at import deliver_at, read_deliver_at

TIME = datetime(2027, 1, 31, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("2027-01-31T18:00:00Z", TIME),
        ("2027-01-31t18:00:00.000z", TIME),
        ("2027-01-31 19:00:00+01:00", TIME),
        ("2027-01-31T18:00:00.123456789Z", TIME.replace(microsecond=123456)),
        ("0001-01-01T00:00:00Z", datetime.min.replace(tzinfo=UTC)),
        (TIME, TIME),
        (TIME.astimezone(timezone(timedelta(hours=-5))), TIME),
        (TIME.replace(tzinfo=None), TIME),
        ("never", None),
    ],
)
def test_common_forms_of_a_time_are_accepted(given: Any, read: datetime | None) -> None:
    assert read_deliver_at({"deliver-at": given}) == read


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("soon", "'soon', is not a time"),
        ("", "'', is not a time"),
        ("2027-01-31T25:00:00Z", "is not a time"),
        ("2027-01-31", "has no offset from UTC"),
        ("2027-01-31T18:00:00", "has no offset from UTC"),
        ("0001-01-01T00:00:00+14:00", "is outside the calendar"),
        (None, "is empty, or outside the calendar"),
        (1_800_000_000, "is a number"),
        (1.8e12, "is a number"),
        (Decimal(1), "is a number"),
        (True, "is a boolean"),
        ({}, "is a value of another kind"),
        (bytearray(b"\xff"), "is a value of another kind"),
    ],
)
def test_an_invalid_time_is_refused_with_the_headers_name(given: Any, problem: str) -> None:
    with pytest.raises(BadMessage, match=problem) as refused:
        read_deliver_at({"deliver-at": given})
    assert refused.value.code == "bad_deliver_at"
    assert "write a time with its offset" in refused.value.text


def test_a_missing_header_is_reported() -> None:
    with pytest.raises(BadMessage, match="has no header deliver-at") as refused:
        read_deliver_at({"x-delay": 5})
    assert refused.value.code == "missing_deliver_at"


def test_a_written_time_is_read_back() -> None:
    time = datetime(2027, 1, 31, 18, 0, 0, 5, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    assert read_deliver_at({"deliver-at": deliver_at(time)}) == time


@pytest.mark.parametrize(
    ("time", "problem"),
    [
        (TIME.replace(tzinfo=None), "has no time zone"),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "is outside the calendar"),
        (timedelta.max, "is outside the calendar"),
        (timedelta(days=3653), "is more than ten years ahead"),
    ],
)
def test_an_unreadable_or_absurd_time_is_not_written(time: datetime | timedelta, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        deliver_at(time)
