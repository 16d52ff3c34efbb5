"""The charts of the page, each drawn for wide and for narrow screens."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from eventstore.counted import counted
from worker.load.chart import CHARACTER, Chart, Column, Line, Mark, Size, columns, lines
from worker.load.figures import brief, duration
from worker.load.scale import Scale, counts, linear, logarithmic
from worker.load.summary import Summary

__all__ = ["charts"]

# The text has the same size in both: a wide chart that is scaled down could not be read.
_SIZES = (
    ("large", Size(width=600, height=280, ticks=7)),
    ("small", Size(width=380, height=280, ticks=4)),
)
_ROWS = 5
# At least what the labels of the vertical axis and the right edge take of a chart's width.
_MARGINS = 90.0
# Above this many milliseconds, a chart of latencies uses seconds.
_LONG_MS = 2000.0


def charts(summary: Summary) -> Iterator[tuple[str, str, str]]:
    """Yield the charts of a run: the name of each, its description, and the SVG."""
    each = f"in intervals of {duration(summary.series.interval_s)}"
    yield "Throughput", f"commands answered a second, {each}", _drawn(partial(_throughput, summary))
    if summary.conflicts:
        yield "Conflicts", f"met by the commands that were answered then, {each}", _drawn(partial(_conflicts, summary))
    if summary.latency_ms is not None:
        yield (
            "How long commands took",
            "each column is 26 % wider than the one before",
            _drawn(partial(_waits, summary)),
        )
        told = f"of the commands that were answered then, {each}"
        yield "Latency over time", told, _drawn(partial(_latency, summary))
    if summary.attempts.histogram:
        yield "Attempts", "how often commands were decided until their answer held", _drawn(partial(_attempts, summary))


def _drawn(draw: Callable[[Size], str]) -> str:
    return "".join(f'<div class="{name}">{draw(size)}</div>' for name, size in _SIZES)


def _time(summary: Summary, size: Size) -> Scale:
    series = summary.series
    return linear(len(series.commands_per_s) * series.interval_s, most=size.ticks, is_rounded=False)


def _middles(summary: Summary) -> list[float]:
    interval = summary.series.interval_s
    return [(number + 0.5) * interval for number in range(len(summary.series.commands_per_s))]


def _throughput(summary: Summary, size: Size) -> str:
    values = summary.series.commands_per_s
    chart = Chart(
        says=f"Commands answered per second over time, {brief(summary.throughput_per_s)} on average",
        size=size,
        across="seconds since the load began",
        up="commands/s",
        x=_time(summary, size),
        y=linear(max(values), most=_ROWS),
    )
    return lines(chart, _middles(summary), [Line("throughput", values)], unit="commands/s")


def _conflicts(summary: Summary, size: Size) -> str:
    values, interval = summary.series.conflicts_per_s, summary.series.interval_s
    chart = Chart(
        says=f"Conflicts per second over time, {counted(summary.conflicts, 'conflict')} in all",
        size=size,
        across="seconds since the load began",
        up="conflicts/s",
        x=_time(summary, size),
        y=linear(max(values), most=_ROWS),
    )
    drawn = [
        Column(number * interval, (number + 1) * interval, value, f"{brief(number * interval)} s: {brief(value)}/s")
        for number, value in enumerate(values)
    ]
    return columns(chart, drawn, series=2)


def _waits(summary: Summary, size: Size) -> str:
    bins, latency = summary.latency_histogram, summary.latency_ms
    if latency is None:
        return ""
    chart = Chart(
        says=f"How many commands took how long; half took up to {_ms(latency.p50)}",
        size=size,
        across="latency, logarithmic",
        up="commands",
        x=logarithmic(
            bins[0].from_ms,
            bins[-1].to_ms,
            most=size.ticks + 2,
            characters=(size.width - _MARGINS) / CHARACTER,
            text=_ms,
        ),
        y=linear(max(each.commands for each in bins), most=_ROWS),
        marks=tuple(
            Mark(value, f"{name} {_ms(value)}")
            for name, value in (("p50", latency.p50), ("p95", latency.p95), ("p99", latency.p99))
        ),
    )
    return columns(
        chart,
        [
            Column(
                each.from_ms,
                each.to_ms,
                each.commands,
                f"{_ms(each.from_ms)} to {_ms(each.to_ms)}: {counted(each.commands, 'command')}",
            )
            for each in bins
        ],
    )


def _latency(summary: Summary, size: Size) -> str:
    series = summary.series
    highest = max(
        (value for line in (series.p50_ms, series.p99_ms) for value in line if value is not None), default=0.0
    )
    unit, per = ("s", 1000.0) if highest >= _LONG_MS else ("ms", 1.0)
    chart = Chart(
        says=f"Latency over time, p50 and p99, up to {_ms(highest)}",
        size=size,
        across="seconds since the load began",
        up=f"latency [{unit}]",
        x=_time(summary, size),
        y=linear(highest / per, most=_ROWS),
    )
    both = [Line("p50", _scaled(series.p50_ms, per)), Line("p99", _scaled(series.p99_ms, per), 2)]
    return lines(chart, _middles(summary), both, unit=unit)


def _attempts(summary: Summary, size: Size) -> str:
    histogram = summary.attempts.histogram
    chart = Chart(
        says=f"How many commands needed how many attempts; at most {max(histogram):,}",
        size=size,
        across="attempts",
        up="commands",
        x=counts(max(histogram), most=2 * size.ticks),
        y=linear(max(histogram.values()), most=_ROWS),
    )
    drawn = [
        Column(number - 0.5, number + 0.5, count, f"{counted(number, 'attempt')}: {counted(count, 'command')}")
        for number, count in sorted(histogram.items())
    ]
    return columns(chart, drawn)


def _scaled(values: Sequence[float | None], per: float) -> list[float | None]:
    return [None if value is None else value / per for value in values]


def _ms(milliseconds: float) -> str:
    return duration(milliseconds / 1000)
