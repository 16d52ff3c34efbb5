"""Series: figures over the time of a load run, and the distribution of its latencies."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from worker.load.figures import percentile
from worker.load.tally import Tally

__all__ = ["Bin", "Series", "bins"]

# Lengths of intervals, in seconds: the shortest one is used that gives no more intervals than a chart has room for.
_INTERVALS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
_MOST_INTERVALS = 120
_BINS_PER_DECADE = 10


class Series(BaseModel):
    """Figures of each interval of a load.

    Attributes:
        interval_s: Length of an interval, in seconds. The last one ends with the load: it is up to half as short or as
            long again.
        commands_per_s: Commands answered in the interval, a second.
        conflicts_per_s: Conflicts of the commands that were answered in the interval, a second.
        p50_ms: The latency that half of these commands did not exceed, in milliseconds; null if none was answered.
        p99_ms: The latency that 99 % of them did not exceed, in milliseconds; null if none was answered.
    """

    model_config = ConfigDict(frozen=True)

    interval_s: float
    commands_per_s: list[float]
    conflicts_per_s: list[float]
    p50_ms: list[float | None]
    p99_ms: list[float | None]

    @classmethod
    def of(cls, tally: Tally, tried_again: Mapping[UUID, int]) -> Self:
        """Divide a load into intervals.

        Args:
            tally: The load.
            tried_again: The number of attempts of each command that had more than one, by id.
        """
        seconds = tally.seconds
        interval = next((each for each in _INTERVALS if seconds / each <= _MOST_INTERVALS), _INTERVALS[-1])
        count = max(math.floor(seconds / interval + 1 / 2), 1)
        latencies: list[list[float]] = [[] for _ in range(count)]
        conflicts = [0] * count
        for command_id, moment, latency in zip(tally.answers, tally.moments, tally.latencies, strict=True):
            index = min(int(moment / interval), count - 1)
            latencies[index].append(latency * 1000)
            conflicts[index] += tried_again.get(command_id, 1) - 1
        # A remainder too short for a meaningful rate belongs to the interval before.
        widths = [interval] * (count - 1) + [seconds - (count - 1) * interval]
        ordered = [sorted(each) for each in latencies]
        return cls(
            interval_s=interval,
            commands_per_s=[_rate(len(each), width) for each, width in zip(ordered, widths, strict=True)],
            conflicts_per_s=[_rate(each, width) for each, width in zip(conflicts, widths, strict=True)],
            p50_ms=[percentile(each, 50) if each else None for each in ordered],
            p99_ms=[percentile(each, 99) if each else None for each in ordered],
        )


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds else 0.0


class Bin(BaseModel):
    """Commands whose latency is above ``from_ms`` and at most ``to_ms``."""

    model_config = ConfigDict(frozen=True)

    from_ms: float
    to_ms: float
    commands: int


def bins(ordered: Sequence[float]) -> list[Bin]:
    """Count latencies in consecutive bins that grow by a constant factor, ten in a decade.

    Args:
        ordered: Latencies in milliseconds, in ascending order.
    """
    if not ordered:
        return []
    counts = Counter(_bin_of(each) for each in ordered)
    edges = range(min(counts), max(counts) + 2)
    return [Bin(from_ms=_edge(low), to_ms=_edge(high), commands=counts[low]) for low, high in pairwise(edges)]


def _bin_of(milliseconds: float) -> int:
    return math.ceil(math.log10(max(milliseconds, 1e-3)) * _BINS_PER_DECADE) - 1


def _edge(number: int) -> float:
    return float(f"{10 ** (number / _BINS_PER_DECADE):.4g}")
