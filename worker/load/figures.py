"""Figures: how a load run's numbers are computed and written."""

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
    """Write a number with as many digits as matter: three, or all that it has before the point."""
    if value >= _THREE_DIGITS or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """Write a duration with three digits, in milliseconds below a second: ``1.23 ms``, ``457 ms``, ``18.8 s``."""
    # What is rounded up to a second is one.
    return f"{brief(seconds * 1000)} ms" if float(f"{seconds:.3g}") < 1 else f"{brief(seconds)} s"


def share(part: float, whole: float) -> str:
    """Write a part of a whole in percent."""
    return f"{part / whole:.1%}" if whole else "-"
