"""The latency histogram: counts of durations by bucket, which can be added up over processes."""

import math
from bisect import bisect_left
from collections.abc import Sequence

__all__ = ["BOUNDS", "LatencyHistogram", "quantile"]

BOUNDS = (
    *(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75),
    *(1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 30.0, 60.0),
)
"""The upper bounds of the buckets, in seconds; the last bucket has none."""


class LatencyHistogram:
    """Counts durations by bucket. Counts only grow: those of a period are the difference of two moments.

    Attributes:
        counts: The number of durations in each bucket; the last is for those above all bounds.
    """

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)

    def record(self, seconds: float) -> None:
        """Count a duration."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """Estimate a quantile of durations, assuming that they are evenly spread inside a bucket.

    Args:
        bounds: The upper bounds of the buckets, in seconds, ascending.
        counts: The number of durations in each bucket, and last the number above all bounds.
        share: The quantile, between 0 and 1.

    Returns:
        The duration in seconds; infinity if it is above all bounds; None if nothing was counted.
    """
    wanted = share * sum(counts)
    if not wanted:
        return None
    below = 0
    for place, count in enumerate(counts[:-1]):
        if count and below + count >= wanted:
            floor = bounds[place - 1] if place else 0.0
            return floor + (bounds[place] - floor) * (wanted - below) / count
        below += count
    return math.inf
