"""The latency histogram: how many commands took how long, in a few numbers that can be added up over processes."""

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
    """Counts durations by bucket. It only grows: who wants those of a while takes the difference of two moments.

    Attributes:
        counts: How many durations fell into each bucket.
    """

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)

    def record(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """Estimate which duration a share of all did not exceed, evenly spread inside a bucket.

    Args:
        bounds: The buckets' upper bounds, in seconds, ascending.
        counts: How many durations fell into each, and as the last number how many exceeded all bounds.
        share: Between 0 and 1.

    Returns:
        Seconds; infinity where it exceeds all bounds; None if nothing was counted.
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
