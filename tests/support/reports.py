"""Reports as workers send them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from worker.reporting.latency import BOUNDS
from worker.reporting.report import DomainReport, PartReport, Report

STARTED = datetime(2026, 1, 5, tzinfo=UTC)


def report(
    worker: str = "w1",
    host: str = "alpha",
    *,
    counters: Mapping[str, int] | None = None,
    latency: Mapping[float, int] | None = None,
    parts: Sequence[PartReport] = (),
    **others: Any,
) -> Report:
    """The report of a worker that serves the library.

    Args:
        worker: Its id.
        host: Its host.
        counters: Its counters.
        latency: The number of commands in each latency bucket, by the bucket's upper bound.
        parts: Its hottest parts.
        others: Further fields of the report.
    """
    counts = [0] * (len(BOUNDS) + 1)
    for bound, count in (latency or {}).items():
        counts[BOUNDS.index(bound)] = count
    chosen: dict[str, Any] = {
        "pid": 7,
        "version": "1",
        "started_at": STARTED,
        "interval": 2.0,
        "ready": True,
        "state": "consuming",
        "domains": (DomainReport(name="library"),),
        "bounds": BOUNDS,
        "seconds": 2.0,
    }
    return Report(
        worker=worker,
        host=host,
        counters=counters or {"received": 0, "accepted": 0, "conflicts": 0},
        latency=tuple(counts),
        parts=tuple(parts),
        **(chosen | others),
    )


def part(key: str = "b1", *, commands: int = 20, conflicts: int = 0, view: str = "book") -> PartReport:
    """A hot part of the library."""
    return PartReport(domain="library", view=view, key=key, hashed=False, commands=commands, conflicts=conflicts)
