"""Figures: how a load run's numbers are computed and written."""

from collections.abc import Sequence

__all__ = ["milliseconds", "percentile", "share"]


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` % of the values do not exceed.

    Args:
        ordered: The values in ascending order, at least one.
        percent: Above 0 and up to 100.
    """
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(int(rank), 1) - 1]


def milliseconds(seconds: float) -> str:
    """Write a duration in milliseconds."""
    value = seconds * 1000
    return f"{value:,.1f} ms" if value < 100 else f"{value:,.0f} ms"  # noqa: PLR2004  three digits are enough


def share(part: float, whole: float) -> str:
    """Write a part of a whole in percent."""
    return f"{part / whole:.1%}" if whole else "-"
