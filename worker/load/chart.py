"""The chart: figures drawn as SVG that stands in a page by itself. Its colours are the page's to say, by class."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from itertools import product

from worker.load.figures import brief
from worker.load.scale import Scale

__all__ = ["CHARACTER", "Chart", "Column", "Line", "Mark", "Size", "columns", "lines"]

CHARACTER = 7.0
"""How wide a character is at most, on average over a label, at the size that the page gives it."""
_ROW = 16.0
_TEXT = 11.0
_GAP = 6.0
_BELOW = 46.0
# A line with more values than this has no dots: they would hide it.
_MOST_DOTS = 30
_WIDEST_COLUMN = 64.0
_LEAST_COLUMN = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a chart is, in units of its own, and how much is written on its axes.

    Attributes:
        width: From the left to the right edge.
        height: From the top of what is drawn to the lower edge.
        ticks: How many ticks an axis has at most.
    """

    width: float
    height: float
    ticks: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A value that stands out: a vertical line with its name."""

    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart.

    Attributes:
        name: What it shows.
        values: The value at each of the chart's points; None leaves a gap.
        series: Which of the page's colours it has: 1 or 2.
    """

    name: str
    values: Sequence[float | None]
    series: int = 1


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a chart.

    Attributes:
        low: Where it begins on the horizontal axis.
        high: Where it ends.
        value: How high it is.
        title: What it says when it is pointed at.
    """

    low: float
    high: float
    value: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What all charts have.

    Attributes:
        says: What it shows, in a sentence, for those who cannot see it.
        size: How large it is.
        across: What the horizontal axis counts, with its unit.
        up: What the vertical axis counts, with its unit.
        x: The horizontal axis.
        y: The vertical axis.
        marks: Values of the horizontal axis that stand out.
    """

    says: str
    size: Size
    across: str
    up: str
    x: Scale
    y: Scale
    marks: tuple[Mark, ...] = ()

    @property
    def left(self) -> float:
        """Where the axes begin: what is written beside the vertical one has room."""
        return max(len(tick.text) for tick in self.y.ticks) * CHARACTER + 2 * _GAP

    @property
    def right(self) -> float:
        """Where the horizontal axis ends: half of what is written under its end has room."""
        last = self.x.ticks[-1] if self.x.ticks else None
        half = 0.0 if last is None else len(last.text) * CHARACTER / 2
        return self.size.width - max(half, 2 * _GAP)

    @property
    def top(self) -> float:
        """Where the vertical axis ends: its name and the marks' stand above."""
        rows = max((row for row, _, _ in _placed(self)), default=-1) + 1
        return _ROW * (1 + rows) + 3 * _GAP

    @property
    def bottom(self) -> float:
        """Where the vertical axis begins."""
        return self.size.height - _BELOW

    def across_at(self, value: float) -> float:
        """Return where a value of the horizontal axis stands."""
        return self.left + self.x.at(value) * (self.right - self.left)

    def up_at(self, value: float) -> float:
        """Return where a value of the vertical axis stands."""
        return self.bottom - self.y.at(value) * (self.bottom - self.top)


def columns(chart: Chart, drawn: Sequence[Column], *, series: int = 1) -> str:
    """Draw columns.

    Args:
        chart: What all charts have.
        drawn: The columns.
        series: Which of the page's colours they have.
    """
    parts = []
    for column in drawn:
        left, right, top = chart.across_at(column.low), chart.across_at(column.high), chart.up_at(column.value)
        width = max(min((right - left) * 0.86, _WIDEST_COLUMN), _LEAST_COLUMN)
        parts.append(
            f'<rect class="series-{series}" x="{(left + right - width) / 2:.1f}" y="{top:.1f}" '
            f'width="{width:.1f}" height="{chart.bottom - top:.1f}"><title>{escape(column.title)}</title></rect>'
        )
    return _framed(chart, parts)


def lines(chart: Chart, points: Sequence[float], drawn: Sequence[Line], *, unit: str) -> str:
    """Draw lines over the same points, with a legend if there are several.

    Args:
        chart: What all charts have.
        points: The points of the horizontal axis.
        drawn: The lines, all with a value for each point.
        unit: What follows a value when it is pointed at.
    """
    parts: list[str] = []
    dotted = len(points) <= _MOST_DOTS
    for line in drawn:
        for run in _runs(points, line.values):
            places = [(chart.across_at(point), chart.up_at(value), value) for point, value in run]
            corners = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
            parts.append(f'<polyline class="line-{line.series}" points="{corners}"/>')
            # A single value has no line.
            seen = "dot" if dotted or len(run) == 1 else "dot hidden"
            parts += [
                f'<circle class="series-{line.series} {seen}" cx="{x:.1f}" cy="{y:.1f}" r="3">'
                f"<title>{escape(f'{line.name}: {brief(value)} {unit}')}</title></circle>"
                for x, y, value in places
            ]
    if len(drawn) > 1:
        parts += _legend(chart, drawn)
    return _framed(chart, parts)


def _framed(chart: Chart, drawn: Iterable[str]) -> str:
    size, left, right, top, bottom = chart.size, chart.left, chart.right, chart.top, chart.bottom
    says = escape(chart.says, quote=True)
    parts = [f'<svg viewBox="0 0 {size.width:g} {size.height:g}" role="img" aria-label="{says}">']
    for tick in chart.y.ticks:
        y = chart.up_at(tick.value)
        parts.append(f'<line class="grid" x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text("tick end", left - _GAP, y + 4, tick.text))
    parts += drawn
    parts.append(f'<line class="axis" x1="{left:.1f}" x2="{right:.1f}" y1="{bottom:.1f}" y2="{bottom:.1f}"/>')
    for tick in chart.x.ticks:
        x = chart.across_at(tick.value)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom:.1f}" y2="{bottom + 5:.1f}"/>')
        parts.append(_text("tick middle", x, bottom + 19, tick.text))
    for mark, (row, x, place) in zip(chart.marks, _placed(chart), strict=True):
        # Above what is written beside the end of the vertical axis.
        y = top - 2 * _GAP - _ROW * row
        at = chart.across_at(mark.value)
        parts.append(f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{y - _TEXT:.1f}" y2="{bottom:.1f}"/>')
        parts.append(_text(f"marked {place}", x, y, mark.text))
    # Above the axis, not turned beside it: there, nothing that is written on it comes near.
    parts.append(_text("label", 0, _TEXT + 1, chart.up))
    parts.append(_text("label middle", (left + right) / 2, size.height - 4, chart.across) + "</svg>")
    return "".join(parts)


@lru_cache(maxsize=16)
def _placed(chart: Chart) -> Sequence[tuple[int, float, str]]:
    """Place the marks' names: the row above the columns, the horizontal place and the anchor of each.

    The best of all placements is the one in which no name runs into another, into another one's line or over the edge,
    and which needs the fewest rows.
    """
    at = [chart.across_at(mark.value) for mark in chart.marks]
    widths = [len(mark.text) * CHARACTER for mark in chart.marks]

    def boxes(sides: Sequence[bool]) -> list[tuple[float, float]]:
        begins = [
            x - _GAP - width if is_left else x + _GAP for x, width, is_left in zip(at, widths, sides, strict=True)
        ]
        return [(begin, begin + width) for begin, width in zip(begins, widths, strict=True)]

    def faults(rows: Sequence[int], sides: Sequence[bool]) -> int:
        placed = boxes(sides)
        found = sum(low < 0 or high > chart.size.width for low, high in placed)
        for one, (low, high) in enumerate(placed):
            for other, (its_low, its_high) in enumerate(placed):
                if one != other:
                    found += rows[one] == rows[other] and low - _GAP < its_high and its_low - _GAP < high
                    # A line reaches from the columns up to its name's row.
                    found += rows[other] >= rows[one] and low - _GAP / 2 < at[other] < high + _GAP / 2
        return found

    count = len(at)
    rows, sides = min(
        product(product(range(count), repeat=count), product((False, True), repeat=count)),
        key=lambda placement: (faults(*placement), max(placement[0], default=0), sum(placement[1])),
    )
    return [
        (row, x - _GAP, "end") if is_left else (row, x + _GAP, "start")
        for row, x, is_left in zip(rows, at, sides, strict=True)
    ]


def _legend(chart: Chart, drawn: Sequence[Line]) -> Iterator[str]:
    """Draw a legend beside the name of the vertical axis, up to the right edge."""
    x = chart.size.width - sum(len(line.name) * CHARACTER + 4 * _GAP for line in drawn)
    for line in drawn:
        yield f'<rect class="series-{line.series}" x="{x:.1f}" y="3" width="10" height="10"/>'
        yield _text("tick", x + 15, _TEXT + 1, line.name)
        x += len(line.name) * CHARACTER + 4 * _GAP


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _runs(points: Sequence[float], values: Sequence[float | None]) -> list[list[tuple[float, float]]]:
    """Pair points with values, split at the gaps."""
    runs: list[list[tuple[float, float]]] = [[]]
    for point, value in zip(points, values, strict=True):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((point, value))
    return [run for run in runs if run]
