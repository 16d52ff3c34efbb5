"""The page: a load run as a self-contained HTML file, in light and dark, for wide and narrow screens."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files

from eventstore.counted import counted
from worker.load.cpu import WORKERS
from worker.load.figures import brief, duration, share
from worker.load.page_charts import charts
from worker.load.summary import Latency, Summary
from worker.printable import printable

__all__ = ["page"]

_CSS = files("worker.load").joinpath("page.css").read_text(encoding="utf-8")
_NOT_MEASURED = "not measured"


def page(summary: Summary, stresses: str = "") -> str:
    """Return a run as an HTML page.

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
            f'<header><h1>{_text(title)}</h1><p class="stresses">{_text(stresses)}</p>',
            f"<p>{_text(_run(summary))}</p>{_behind(summary)}{_verdict(summary)}</header>",
            f'<dl class="tiles">{"".join(_tiles(summary))}</dl>',
            f'<div class="groups">{"".join(_groups(summary))}</div>',
            f'<section class="charts">{"".join(_figure(*each) for each in _figures(summary))}</section>',
            f"<h2>Violations</h2>{_violations(summary)}" if summary.violations else "",
            f'<div class="tables">{"".join(_tables(summary))}</div>',
            f"<h2>Figures over time</h2>{_series(summary)}",
            "</body></html>\n",
        )
    )


def _run(summary: Summary) -> str:
    """Return what was run, in a line."""
    pace = f"{summary.in_flight} in flight" if summary.rate_per_s is None else f"due at {brief(summary.rate_per_s)}/s"
    workers = "" if summary.workers is None else f", {counted(summary.workers, 'worker process', 'worker processes')}"
    killed = f" ({summary.workers_killed:,} killed and replaced)" if summary.workers_killed else ""
    outages = f", a store down {counted(summary.outages, 'time')}" if summary.outages else ""
    began = f"{summary.began_at:%Y-%m-%d %H:%M:%S} UTC"
    commands = counted(summary.commands, "command")
    return f"{commands}, {summary.load} load, {pace}{workers}{killed}{outages}, in {duration(summary.seconds)}; {began}"


def _behind(summary: Summary) -> str:
    told = summary.behind()
    return "" if told is None else f'<p class="note"><span class="verdict behind">Behind.</span> {_text(told)}</p>'


def _verdict(summary: Summary) -> str:
    oracle = summary.oracle
    if summary.violations:
        return f'<p class="note"><span class="verdict wrong">{counted(summary.violations, "violation")}.</span></p>'
    told = (
        f"{counted(oracle.events, 'event')} numbered without a gap; "
        f"{counted(oracle.receipts, 'command')}, one receipt each; "
        f"{summary.oracle_checked:,} decided again from their prefix with the same answer{oracle.apart}; "
        f"invariants unbroken: "
        f"{'; '.join(oracle.invariants) or 'none declared'}."
    )
    return f'<p class="note"><span class="verdict clean">Clean.</span> {_text(told)}</p>'


def _tiles(summary: Summary) -> Iterator[str]:
    latency = summary.latency_ms
    since = "sent" if summary.load == "closed" else "due"
    yield _tile("Throughput", f"{brief(summary.throughput_per_s)}/s", f"answered over {duration(summary.seconds)}")
    yield _tile("Latency, p50", _milliseconds(latency, "p50"), f"from {since} to answered")
    yield _tile("Latency, p99", _milliseconds(latency, "p99"), "1 in 100 took longer")
    again = summary.attempts.again
    met = f"{counted(again, 'command')} of {sum(summary.attempts.histogram.values()):,}"
    yield _tile("Met a conflict", share(again, sum(summary.attempts.histogram.values())), met)


def _groups(summary: Summary) -> Iterator[str]:
    """Yield the other figures, grouped by subject."""
    latency, one = summary.latency_ms, summary.unluckiest
    who = "" if one is None else f"{one.command_type} {one.command_id}, decided {counted(one.attempts, 'time')}"
    waiting = [("p95", _milliseconds(latency, "p95"), ""), ("longest", _milliseconds(latency, "max"), who)]
    if summary.p99_over_p50 is not None:
        waiting.append(("fairness", f"{summary.p99_over_p50:.1f}", "p99 over p50"))
    yield _group("Waiting", waiting)
    stale = "" if not summary.stale_conflicts else f"{summary.stale_conflicts:,} after reading a replica"
    yield _group(
        "Contention",
        [
            ("conflicts", f"{summary.conflicts:,}", stale),
            ("decisions a command", f"{summary.attempts.mean:.3f}", f"at most {summary.attempts.max:,}"),
            ("wasted decisions", f"{summary.wasted_decisions:,}", "by conflicts and duplicates"),
            ("duplicates", f"{summary.duplicates:,}", f"{counted(summary.copies, 'copy', 'copies')} sent on purpose"),
        ],
    )
    cpu, replica, letters = summary.cpu_us_per_command, summary.replica_read_share, summary.dead_letters
    # The figures of workers that the run did not start are not known.
    of = "of the workers" if summary.workers is not None else "only with --start-workers"
    yield _group(
        "Cost",
        [
            ("CPU a command", _NOT_MEASURED if cpu is None else f"{cpu:,.0f} µs", of),
            ("reads by a replica", _NOT_MEASURED if replica is None else f"{replica:.1%}", ""),
            ("dead letters", _NOT_MEASURED if letters is None else f"{letters:,}", ""),
            ("no answer in time", f"{summary.unanswered:,}", ""),
        ],
    )


def _figures(summary: Summary) -> Iterator[tuple[str, str, str]]:
    yield from charts(summary)
    yield "Outcomes", "what became of the commands", _outcomes(summary)


def _tables(summary: Summary) -> Iterator[str]:
    if summary.by_domain:
        rows = [
            (
                each.domain,
                f"{each.answered:,}",
                *(_milliseconds(each.latency_ms, name) for name in ("p50", "p99", "max")),
            )
            for each in summary.by_domain
        ]
        listing = _table(("domain", "answered", "p50", "p99", "longest"), rows, numbers=range(1, 5))
        yield f"<section><h2>By domain</h2>{listing}</section>"
    if summary.cpu_seconds:
        yield f"<section><h2>CPU</h2>{_cpu(summary)}</section>"
    rows = [("seed", str(summary.seed)), *((name, f"{value:g}") for name, value in summary.parameters.items())]
    yield f"<section><h2>Parameters</h2>{_table(('parameter', 'value'), rows)}</section>"


def _outcomes(summary: Summary) -> str:
    rows = [
        (one.outcome, f"{one.commands:,}", share(one.commands, summary.commands), one.reason) for one in summary.reasons
    ]
    if summary.unanswered:
        rows.append(("no answer", f"{summary.unanswered:,}", share(summary.unanswered, summary.commands), ""))
    return _table(("outcome", "commands", "share", "reason"), rows, numbers={1, 2})


def _cpu(summary: Summary) -> str:
    answered = sum(summary.outcomes.values())
    spent = sorted(summary.cpu_seconds.items(), key=lambda one: -one[1])
    if len(spent) > 1 and WORKERS in summary.cpu_seconds:
        spent.append(("together", sum(summary.cpu_seconds.values())))
    rows = [
        (party, f"{used:.1f} s", share(used, summary.seconds), f"{used / answered * 1e6:,.0f} µs" if answered else "-")
        for party, used in spent
    ]
    return _table(("party", "spent", "of one core", "a command"), rows, numbers={1, 2, 3})


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


def _milliseconds(latency: Latency | None, name: str) -> str:
    return _NOT_MEASURED if latency is None else duration(getattr(latency, name) / 1000)


def _tile(name: str, value: str, told: str) -> str:
    return f"<div><dt>{_text(name)}</dt><dd>{_text(value)}<small>{_text(told)}</small></dd></div>"


def _group(name: str, rows: Iterable[tuple[str, str, str]]) -> str:
    shown = "".join(
        f"<div><dt>{_text(what)}</dt><dd>{_text(value)}{f'<small>{_text(told)}</small>' if told else ''}</dd></div>"
        for what, value, told in rows
    )
    return f"<section><h2>{_text(name)}</h2><dl>{shown}</dl></section>"


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
