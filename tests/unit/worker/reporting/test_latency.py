import math

import pytest

from worker.reporting.latency import BOUNDS, LatencyHistogram, quantile


def test_a_duration_counts_in_the_first_bucket_with_a_higher_bound() -> None:
    histogram = LatencyHistogram()
    for seconds in (0.0, 0.001, 0.0011, 59.9, 60.0, 61.0):
        histogram.record(seconds)
    assert (histogram.counts[0], histogram.counts[1], histogram.counts[-2], histogram.counts[-1]) == (2, 1, 2, 1)
    assert sum(histogram.counts) == 6


@pytest.mark.parametrize(
    ("counts", "share", "found"),
    [
        ([0, 0, 0], 0.5, None),
        ([10, 0, 0], 0.5, 0.5),
        ([10, 0, 0], 1.0, 1.0),
        ([5, 5, 0], 0.75, 1.5),
        ([1, 0, 9], 0.5, math.inf),
    ],
)
def test_a_quantile_lies_inside_its_bucket(counts: list[int], share: float, found: float | None) -> None:
    assert quantile((1.0, 2.0), counts, share) == found


def test_the_bounds_ascend() -> None:
    assert list(BOUNDS) == sorted(set(BOUNDS))
