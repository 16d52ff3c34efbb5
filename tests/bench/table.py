"""The printed table: ratios first."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.bench.figure import Figure

__all__ = ["show"]

_WIDTH = 110


def show(figures: Sequence[Figure], notes: Sequence[str]) -> None:
    """Print figures as a table, and notes below it."""
    table = Table(box=None, pad_edge=False)
    for heading in ("ratio", "to", "reach", "figure", "value", "unit"):
        table.add_column(heading, justify="right" if heading in {"ratio", "value"} else "left")
    for figure in figures:
        table.add_row(
            _ratio(figure.ratio), figure.ratio_to or "", figure.target, figure.name, _value(figure.value), figure.unit
        )
    console = Console(width=_WIDTH)
    console.print(table)
    for note in notes:
        console.print(note, style="dim")


def _ratio(ratio: float | None) -> str:
    """Write a ratio below 1 as a fraction: 0.04 as 1/25."""
    if ratio is None:
        return ""
    return f"1/{1 / ratio:.1f}" if 0 < ratio < 0.1 else f"{ratio:.2f}"


def _value(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
