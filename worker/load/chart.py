"""The chart: draws figures as SVG for an HTML page. The page's style sheet sets the colours, by class."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from itertools import product

from worker.load.figures import brief
from worker.load.scale import Scale

__all__ = ["CHARACTER", "Chart", "Column", "Line", "Mark", "Size", "columns", "lines"]

CHARACTER = 7.0
"""The largest average width of a character in a label, in the font size of the page."""
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
    """The size of a chart, in its own units, and the number of ticks.

    Attributes:
        width: From the left to the right edge.
        height: From the top of the drawing to the lower edge.
        ticks: The most ticks of an axis.
    """

    width: float
    height: float
    ticks: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A value that is marked: a vertical line with its name."""

    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart.

    Attributes:
        name: Its name in the legend.
        values: The value at each of the chart's points; None leaves a gap.
        series: Number of its colour on the page: 1 or 2.
    """

    name: str
    values: Sequence[float | None]
    series: int = 1


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a chart.

    Attributes:
        low: Where it begins on the horizontal axis.
        high: Where it ends on the horizontal axis.
        value: Its height on the vertical axis.
        title: Its tooltip.
    """

    low: float
    high: float
    value: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The frame of a chart.

    Attributes:
        says: A description in a sentence, for screen readers.
        size: The size of the chart.
        across: The label of the horizontal axis, with its unit.
        up: The label of the vertical axis, with its unit.
        x: The horizontal axis.
        y: The vertical axis.
        marks: Marked values of the horizontal axis.
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
        """The left end of the axes: the labels of the vertical axis fit beside it."""
        return max(len(tick.text) for tick in self.y.ticks) * CHARACTER + 2 * _GAP

    @property
    def right(self) -> float:
        """The right end of the horizontal axis: half of its last label fits beside it."""
        last = self.x.ticks[-1] if self.x.ticks else None
        half = 0.0 if last is None else len(last.text) * CHARACTER / 2
        return self.size.width - max(half, 2 * _GAP)

    @property
    def top(self) -> float:
        """The upper end of the vertical axis: its label and the names of marks are above."""
        rows = max((row for row, _, _ in _placed(self)), default=-1) + 1
        return _ROW * (1 + rows) + 3 * _GAP

    @property
    def bottom(self) -> float:
        """The lower end of the vertical axis."""
        return self.size.height - _BELOW

    def across_at(self, value: float) -> float:
        """Return the horizontal coordinate of a value."""
        return self.left + self.x.at(value) * (self.right - self.left)

    def up_at(self, value: float) -> float:
        """Return the vertical coordinate of a value."""
        return self.bottom - self.y.at(value) * (self.bottom - self.top)


def columns(chart: Chart, drawn: Sequence[Column], *, series: int = 1) -> str:
    """Return a chart with columns, as SVG.

    Args:
        chart: The frame.
        drawn: The columns.
        series: Number of their colour on the page.
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
    """Return a chart with lines over the same points, as SVG, with a legend if there are several.

    Args:
        chart: The frame.
        points: The points of the horizontal axis.
        drawn: The lines, each with a value for each point.
        unit: The unit in tooltips.
    """
    parts: list[str] = []
    dotted = len(points) <= _MOST_DOTS
    for line in drawn:
        for run in _runs(points, line.values):
            places = [(chart.across_at(point), chart.up_at(value), value) for point, value in run]
            corners = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
            parts.append(f'<polyline class="line-{line.series}" points="{corners}"/>')
            # A single value is no line.
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
        # Above the labels at the end of the vertical axis.
        y = top - 2 * _GAP - _ROW * row
        at = chart.across_at(mark.value)
        parts.append(f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{y - _TEXT:.1f}" y2="{bottom:.1f}"/>')
        parts.append(_text(f"marked {place}", x, y, mark.text))
    # Above the axis and not beside it, where it could overlap the labels.
    parts.append(_text("label", 0, _TEXT + 1, chart.up))
    parts.append(_text("label middle", (left + right) / 2, size.height - 4, chart.across) + "</svg>")
    return "".join(parts)


@lru_cache(maxsize=16)
def _placed(chart: Chart) -> Sequence[tuple[int, float, str]]:
    """Return the positions of the marks' names: for each the row above the drawing, the coordinate, and the anchor.

    Of all placements, the best has the fewest overlaps of names with other names, other marks' lines, and the edges,
    and then the fewest rows.
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
                    # A line reaches up to the row of its name.
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
    """Draw a legend on the right, beside the label of the vertical axis."""
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
