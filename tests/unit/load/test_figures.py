"""Percentiles by nearest rank, and the formatting of figures."""

import pytest

from worker.load.figures import brief, duration, percentile, share


@pytest.mark.parametrize(("percent", "expected"), [(50, 5.0), (90, 9.0), (91, 10.0), (99, 10.0), (100, 10.0), (1, 1.0)])
def test_percentile_of_ten(percent: float, expected: float) -> None:
    assert percentile([float(number) for number in range(1, 11)], percent) == expected


def test_percentile_of_one() -> None:
    assert percentile([4.0], 50) == 4.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00123, "1.23 ms"),
        (0.457, "457 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (1.5, "1.5 s"),
        (18.786, "18.8 s"),
        (187.86, "188 s"),
    ],
)
def test_durations_have_three_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (1234.5, "1,234"), (12.345, "12.3"), (0.00123, "0.00123")])
def test_numbers_have_their_significant_digits(value: float, text: str) -> None:
    assert brief(value) == text


def test_share_of_nothing() -> None:
    assert share(0, 0) == "-"
    assert share(1, 8) == "12.5%"
