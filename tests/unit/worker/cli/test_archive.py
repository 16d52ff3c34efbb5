"""``worker db archive --before``: numbers, dates, and ambiguous values."""

from datetime import UTC, datetime

import pytest

from worker.cli.archive import _bound, _directory
from worker.failures import Mistake


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("5", 5),
        ("12000000", 12_000_000),
        ("20,250,101", 20_250_101),
        ("20_250_101", 20_250_101),
        ("2025-01-01", datetime(2025, 1, 1, tzinfo=UTC)),
        ("2025-01-01T10:00+02:00", datetime(2025, 1, 1, 8, tzinfo=UTC)),
    ],
)
def test_a_bound_is_a_number_or_a_date(text: str, bound: object) -> None:
    assert _bound(text) == bound


def test_an_ambiguous_bound_is_refused() -> None:
    """A date taken for a number would archive nearly all of a shorter log."""
    with pytest.raises(
        Mistake, match=r"^--before 20250101 may be a number or a date: write 20,250,101, or 2025-01-01\.$"
    ):
        _bound("20250101")


def test_a_missing_directory_is_not_the_current_one() -> None:
    assert str(_directory(".")) == "."
    with pytest.raises(Mistake, match=r"^--to is empty: "):
        _directory("")


def test_an_address_is_refused_as_it_was_written() -> None:
    with pytest.raises(Mistake, match=r"^--to s3://bucket/logs looks like an address, "):
        _directory("s3://bucket/logs")
