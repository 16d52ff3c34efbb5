"""Percentiles by nearest rank, and figures as people read them."""

import pytest

from worker.load.figures import milliseconds, percentile, share


@pytest.mark.parametrize(("percent", "expected"), [(50, 5.0), (90, 9.0), (91, 10.0), (99, 10.0), (100, 10.0), (1, 1.0)])
def test_percentile_of_ten(percent: float, expected: float) -> None:
    assert percentile([float(number) for number in range(1, 11)], percent) == expected


def test_percentile_of_one() -> None:
    assert percentile([4.0], 50) == 4.0


def test_milliseconds() -> None:
    assert milliseconds(0.00123) == "1.2 ms"
    assert milliseconds(1.5) == "1,500 ms"


def test_share_of_nothing() -> None:
    assert share(0, 0) == "-"
    assert share(1, 8) == "12.5%"
