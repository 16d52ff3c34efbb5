"""Figures: computes and formats the numbers of a load run."""

from collections.abc import Sequence

__all__ = ["brief", "duration", "percentile", "share"]

_THREE_DIGITS = 100


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` % of the values do not exceed.

    Args:
        ordered: The values in ascending order, at least one.
        percent: Above 0 and up to 100.
    """
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(int(rank), 1) - 1]


def brief(value: float) -> str:
    """Format a number with three significant digits, or with all digits before the point."""
    if value >= _THREE_DIGITS or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """Format a duration with three digits, in milliseconds below a second: ``1.23 ms``, ``457 ms``, ``18.8 s``."""
    # A value that rounds up to a second is shown in seconds.
    return f"{brief(seconds * 1000)} ms" if float(f"{seconds:.3g}") < 1 else f"{brief(seconds)} s"


def share(part: float, whole: float) -> str:
    """Format a part of a whole in percent."""
    return f"{part / whole:.1%}" if whole else "-"
