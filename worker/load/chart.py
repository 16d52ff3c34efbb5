"""The chart: figures drawn as SVG that stands in a page by itself. Its colours are the page's to say, by class."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

__all__ = ["Chart", "Line", "Mark", "Tick", "brief", "columns", "lines", "seconds_ticks"]

_WIDTH, _HEIGHT = 760, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 68, 16, 22, 50
_INNER_WIDTH, _INNER_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_MOST_TICKS = 6
_WIDEST_COLUMN = 64.0
_ROW = 15


@dataclass(frozen=True, slots=True)
class Tick:
    """A label on the horizontal axis.

    Attributes:
        at: Where, counted in values from the left: 0 is the left edge of the first value.
        text: What it says.
    """

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A value that stands out: a vertical line with its name."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart.

    Attributes:
        name: What it shows.
        values: One for each interval; None leaves a gap.
        series: Which of the page's colours it has: 1 or 2.
    """

    name: str
    values: Sequence[float | None]
    series: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What all charts have.

    Attributes:
        says: What it shows, in a sentence, for those who cannot see it.
        across: What the horizontal axis counts, with its unit.
        up: What the vertical axis counts, with its unit.
        ticks: The labels of the horizontal axis.
        marks: Values that stand out.
    """

    says: str
    across: str
    up: str
    ticks: Sequence[Tick]
    marks: Sequence[Mark] = field(default=())


def columns(chart: Chart, values: Sequence[float], titles: Sequence[str], *, series: int = 1) -> str:
    """Draw a column for each value.

    Args:
        chart: What all charts have.
        values: How high each column is; at least one.
        titles: What each says when it is pointed at.
        series: Which of the page's colours they have.
    """
    top = _top(values)
    step = _INNER_WIDTH / len(values)
    width = min(step * 0.86, _WIDEST_COLUMN)
    drawn = []
    for index, (value, title) in enumerate(zip(values, titles, strict=True)):
        height = value / top * _INNER_HEIGHT
        left = _LEFT + step * (index + 0.5) - width / 2
        drawn.append(
            f'<rect class="series-{series}" x="{left:.1f}" y="{_TOP + _INNER_HEIGHT - height:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}"><title>{escape(title)}</title></rect>'
        )
    return _framed(chart, top, len(values), drawn)


def lines(chart: Chart, drawn: Sequence[Line], *, unit: str) -> str:
    """Draw lines over the same intervals, with a legend if there are several.

    Args:
        chart: What all charts have.
        drawn: The lines, all with the same number of values, at least one.
        unit: What follows a value when it is pointed at.
    """
    count = len(drawn[0].values)
    top = _top([value for line in drawn for value in line.values if value is not None])
    step = _INNER_WIDTH / count
    parts: list[str] = []
    for line in drawn:
        for run in _runs(line.values):
            points = " ".join(f"{_LEFT + step * (index + 0.5):.1f},{_y(value, top):.1f}" for index, value in run)
            parts.append(f'<polyline class="line-{line.series}" points="{points}"/>')
            for index, value in run:
                title = escape(f"{line.name}: {brief(value)} {unit}")
                parts.append(
                    f'<circle class="series-{line.series}" cx="{_LEFT + step * (index + 0.5):.1f}" '
                    f'cy="{_y(value, top):.1f}" r="3"><title>{title}</title></circle>'
                )
    if len(drawn) > 1:
        parts += _legend(drawn)
    return _framed(chart, top, count, parts)


def seconds_ticks(count: int, interval: float) -> list[Tick]:
    """Return labels for a time axis.

    Args:
        count: How many intervals there are.
        interval: How long one is, in seconds.
    """
    step = _step(count * interval)
    return [
        Tick(at=number * step / interval, text=brief(number * step))
        for number in range(int(count * interval / step + 1e-9) + 1)
    ]


def brief(value: float) -> str:
    """Write a number with as many digits as matter."""
    if value >= 100 or value == int(value):  # noqa: PLR2004  three digits are enough
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _framed(chart: Chart, top: float, count: int, drawn: Iterable[str]) -> str:
    bottom, right = _TOP + _INNER_HEIGHT, _LEFT + _INNER_WIDTH
    step = _step(top)
    above = _ROW * len(chart.marks)
    size = f"0 {-above} {_WIDTH} {_HEIGHT + above}"
    parts = [f'<svg viewBox="{size}" role="img" aria-label="{escape(chart.says, quote=True)}">']
    for number in range(round(top / step) + 1):
        y = _y(number * step, top)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick end" x="{_LEFT - 8}" y="{y + 4:.1f}">{brief(number * step)}</text>')
    parts += drawn
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    for tick in chart.ticks:
        x = _LEFT + tick.at / count * _INNER_WIDTH
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}"/>')
        parts.append(f'<text class="tick middle" x="{x:.1f}" y="{bottom + 19}">{escape(tick.text)}</text>')
    parts += _marks(chart.marks, count)
    middle, half = _TOP + _INNER_HEIGHT / 2, _LEFT + _INNER_WIDTH / 2
    turned = f'transform="rotate(-90 16 {middle})"'
    parts.append(f'<text class="label middle" x="{half}" y="{_HEIGHT - 8}">{escape(chart.across)}</text>')
    parts.append(f'<text class="label middle" x="16" y="{middle}" {turned}>{escape(chart.up)}</text></svg>')
    return "".join(parts)


def _marks(marks: Sequence[Mark], count: int) -> Iterable[str]:
    """Draw marks. Their names stand above the columns and below one another, where nothing runs into them."""
    for row, mark in enumerate(marks):
        x = _LEFT + mark.at / count * _INNER_WIDTH
        y = _TOP - 8 - _ROW * row
        # In the right half the name stands on the left of its line.
        place, start = ("end", x - 5) if mark.at > count / 2 else ("start", x + 5)
        yield f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 10}" y2="{_TOP + _INNER_HEIGHT}"/>'
        yield f'<text class="marked {place}" x="{start:.1f}" y="{y}">{escape(mark.text)}</text>'


def _legend(drawn: Sequence[Line]) -> Iterable[str]:
    x = float(_LEFT)
    for line in drawn:
        yield f'<rect class="series-{line.series}" x="{x}" y="2" width="12" height="12"/>'
        yield f'<text class="tick" x="{x + 18}" y="12">{escape(line.name)}</text>'
        x += 40 + 7.5 * len(line.name)


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Split values at their gaps."""
    runs: list[list[tuple[int, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((index, value))
    return [run for run in runs if run]


def _y(value: float, top: float) -> float:
    return _TOP + _INNER_HEIGHT - value / top * _INNER_HEIGHT


def _top(values: Sequence[float]) -> float:
    """Return the upper end of the vertical axis: the next whole step above all values."""
    highest = max(values, default=0.0)
    if highest <= 0:
        return 1.0
    step = _step(highest)
    return math.ceil(highest / step) * step


def _step(highest: float) -> float:
    """Return a step of 1, 2 or 5 times a power of ten that divides up to this value into a few parts."""
    least = highest / _MOST_TICKS
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)
