"""The page: a load run as one HTML file that needs nothing else, in light and dark."""

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files

from eventstore.counted import counted
from worker.load.chart import Chart, Line, Mark, Tick, brief, columns, lines, seconds_ticks
from worker.load.figures import milliseconds, share
from worker.load.summary import Summary
from worker.printable import printable

__all__ = ["page"]

_CSS = files("worker.load").joinpath("page.css").read_text(encoding="utf-8")
_MOST_BIN_LABELS = 12


def page(summary: Summary, stresses: str = "") -> str:
    """Write a run as an HTML page.

    Args:
        summary: The run.
        stresses: What its scenario stresses, in a few words.
    """
    title = f"{summary.domain}: {summary.scenario}"
    return "\n".join(
        (
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"/>',
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
            f"<title>{_text(title)}</title><style>{_CSS}</style></head><body>",
            f'<header><h1>{_text(title)}</h1><p class="stresses">{_text(stresses)}</p>{_verdict(summary)}</header>',
            f'<dl class="tiles">{"".join(_tiles(summary))}</dl>',
            f'<section class="charts">{"".join(_figures(summary))}</section>',
            f"<h2>Outcomes</h2>{_outcomes(summary)}",
            f"<h2>CPU</h2>{_cpu(summary)}" if summary.cpu_seconds else "",
            f"<h2>Violations</h2>{_violations(summary)}" if summary.violations else "",
            f"<h2>How it was run</h2>{_settings(summary)}",
            f"<h2>Figures over time</h2>{_series(summary)}",
            "</body></html>\n",
        )
    )


def _verdict(summary: Summary) -> str:
    oracle = summary.oracle
    if summary.violations:
        return f'<p class="verdict wrong">{counted(summary.violations, "violation")}</p>'
    told = (
        f"{counted(oracle.events, 'event')} numbered without a gap; "
        f"{counted(oracle.receipts, 'command')}, one receipt each; "
        f"{summary.oracle_checked:,} decided again from their prefix with the same answer{oracle.apart}; "
        f"invariants unbroken: "
        f"{'; '.join(oracle.invariants) or 'none declared'}."
    )
    return f'<p><span class="verdict clean">Clean.</span> {_text(told)}</p>'


def _tiles(summary: Summary) -> Iterator[str]:
    yield _tile("Throughput", f"{brief(summary.throughput_per_s)}/s", f"{summary.seconds:.1f} s")
    if (latency := summary.latency_ms) is not None:
        for name, value in (("p50", latency.p50), ("p95", latency.p95), ("p99", latency.p99), ("max", latency.max)):
            yield _tile(f"Latency, {name}", milliseconds(value / 1000))
    if summary.p99_over_p50 is not None:
        yield _tile("Fairness", f"{summary.p99_over_p50:.1f}", "p99 is so many times p50")
    if (one := summary.unluckiest) is not None:
        told = f"{one.command_type}, attempts {one.attempts}, {one.command_id}"
        yield _tile("Unluckiest command", milliseconds(one.latency_ms / 1000), told, kind="long")
    per_command = share(summary.conflicts, sum(summary.attempts.histogram.values()))
    yield _tile("Conflicts", f"{summary.conflicts:,}", f"{per_command} of the commands")
    yield _tile("Attempts", f"{summary.attempts.mean:.3f}", f"on average; at most {summary.attempts.max}")
    yield _tile("Wasted decisions", f"{summary.wasted_decisions:,}", "by conflicts and duplicates")
    yield _tile("Duplicates", f"{summary.duplicates:,}", f"{counted(summary.copies, 'copy', 'copies')} sent")
    replica = summary.replica_read_share
    yield _tile("Reads by a replica", "not measured" if replica is None else f"{replica:.1%}")
    cpu = summary.cpu_us_per_command
    yield _tile("CPU per command", "not measured" if cpu is None else f"{cpu:,.0f} µs", "of the workers")


def _figures(summary: Summary) -> Iterator[str]:
    series = summary.series
    count, interval = len(series.commands_per_s), series.interval_s
    each = f"in intervals of {brief(interval)} s"
    ticks = seconds_ticks(count, interval)
    across = "time since the load began [s]"
    rate = Chart(says="Commands answered per second over time", across=across, up="commands/s", ticks=ticks)
    line = Line("throughput", series.commands_per_s)
    yield _figure(
        "Throughput over time", f"commands answered per second, {each}", lines(rate, [line], unit="commands/s")
    )
    conflicts = Chart(says="Conflicts per second over time", across=across, up="conflicts/s", ticks=ticks)
    titles = [
        f"{brief(number * interval)} s: {brief(value)} conflicts/s"
        for number, value in enumerate(series.conflicts_per_s)
    ]
    yield _figure(
        "Conflicts over time",
        f"met by the commands that were answered then, {each}",
        columns(conflicts, series.conflicts_per_s, titles, series=2),
    )
    yield _figure("Latency distribution", "each column is 26 % wider than the one before", _distribution(summary))
    waits = Chart(says="Latency over time, p50 and p99", across=across, up="latency [ms]", ticks=ticks)
    both = [Line("p50", series.p50_ms), Line("p99", series.p99_ms, 2)]
    yield _figure(
        "Latency over time", f"of the commands that were answered then, {each}", lines(waits, both, unit="ms")
    )
    yield _figure("Attempts", "how often commands were decided until their answer held", _attempts(summary))


def _distribution(summary: Summary) -> str:
    bins, latency = summary.latency_histogram, summary.latency_ms
    if not bins or latency is None:
        return "<p>Nothing was answered.</p>"
    every = -(-len(bins) // _MOST_BIN_LABELS)
    ticks = [Tick(number, brief(each.from_ms)) for number, each in enumerate(bins) if number % every == 0]
    # The bins are even on a logarithmic scale.
    low, width = math.log10(bins[0].from_ms), math.log10(bins[0].to_ms / bins[0].from_ms)
    marks = [
        Mark((math.log10(max(value, bins[0].from_ms)) - low) / width, f"{name} {brief(value)} ms")
        for name, value in (("p50", latency.p50), ("p95", latency.p95), ("p99", latency.p99))
    ]
    chart = Chart(
        says=f"How many commands took how long; half took up to {brief(latency.p50)} ms",
        across="latency [ms], logarithmic",
        up="commands",
        ticks=ticks,
        marks=marks,
    )
    titles = [f"{brief(each.from_ms)} to {brief(each.to_ms)} ms: {counted(each.commands, 'command')}" for each in bins]
    return columns(chart, [each.commands for each in bins], titles)


def _attempts(summary: Summary) -> str:
    histogram = summary.attempts.histogram
    if not histogram:
        return "<p>Nothing was decided.</p>"
    numbers = range(1, max(histogram) + 1)
    chart = Chart(
        says=f"How many commands needed how many attempts; at most {max(histogram)}",
        across="attempts",
        up="commands",
        ticks=[Tick(number - 0.5, f"{number} ({brief(histogram.get(number, 0))})") for number in numbers],
    )
    counts = [histogram.get(number, 0) for number in numbers]
    titles = [
        f"{counted(number, 'attempt')}: {counted(count, 'command')}"
        for number, count in zip(numbers, counts, strict=True)
    ]
    return columns(chart, counts, titles)


def _outcomes(summary: Summary) -> str:
    answered = sum(summary.outcomes.values())
    rows = [(one.outcome, f"{one.commands:,}", share(one.commands, answered), one.reason) for one in summary.reasons]
    if summary.unanswered:
        rows.append(("no answer", f"{summary.unanswered:,}", "", ""))
    return _table(("outcome", "commands", "share", "reason"), rows, numbers={1, 2})


def _cpu(summary: Summary) -> str:
    answered = sum(summary.outcomes.values())
    rows = [
        (party, f"{spent:.1f}", share(spent, summary.seconds), f"{spent / answered * 1e6:,.0f}" if answered else "-")
        for party, spent in sorted(summary.cpu_seconds.items(), key=lambda one: -one[1])
    ]
    return _table(("party", "seconds", "of one core", "µs per command"), rows, numbers={1, 2, 3})


def _settings(summary: Summary) -> str:
    pace = (
        f"open, {summary.rate_per_s:g} commands/s" if summary.rate_per_s else f"closed, {summary.in_flight} in flight"
    )
    workers = "not started by this run" if summary.workers is None else f"{summary.workers}"
    if summary.workers_killed:
        workers += f", {summary.workers_killed} killed and replaced"
    rows = [
        ("began", f"{summary.began_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("seed", str(summary.seed)),
        ("commands", f"{summary.commands:,}"),
        ("load", pace),
        ("worker processes", workers),
        *((name, f"{value:g}") for name, value in summary.parameters.items()),
    ]
    return _table(("setting", "value"), rows)


def _violations(summary: Summary) -> str:
    shown = "".join(
        f"<p>{_text(each.text)}</p><pre>{_text(chr(10).join(each.evidence))}</pre>"
        for each in summary.violation_details
    )
    more = summary.violations - len(summary.violation_details)
    return shown + (f"<p>and {more:,} more</p>" if more else "")


def _series(summary: Summary) -> str:
    series = summary.series
    rows = [
        (
            f"{number * series.interval_s:g}",
            brief(commands),
            brief(conflicts),
            *("-" if v is None else brief(v) for v in waits),
        )
        for number, (commands, conflicts, *waits) in enumerate(
            zip(series.commands_per_s, series.conflicts_per_s, series.p50_ms, series.p99_ms, strict=True)
        )
    ]
    headings = ("from [s]", "commands/s", "conflicts/s", "p50 [ms]", "p99 [ms]")
    return f"<details><summary>The charts' values</summary>{_table(headings, rows, numbers=range(5))}</details>"


def _tile(name: str, value: str, told: str = "", *, kind: str = "short") -> str:
    small = f"<small>{_text(told)}</small>" if told else ""
    return f'<div class="{kind}"><dt>{_text(name)}</dt><dd>{_text(value)}{small}</dd></div>'


def _figure(name: str, told: str, drawn: str) -> str:
    return f"<figure><figcaption>{_text(name)}<small>{_text(told)}</small></figcaption>{drawn}</figure>"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = ()) -> str:
    right = set(numbers)

    def cells(tag: str, texts: Sequence[str]) -> str:
        return "".join(
            f'<{tag} class="number">{_text(text)}</{tag}>' if index in right else f"<{tag}>{_text(text)}</{tag}>"
            for index, text in enumerate(texts)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><thead><tr>{cells("th", headings)}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _text(text: str) -> str:
    return escape(printable(text, lines=True))
