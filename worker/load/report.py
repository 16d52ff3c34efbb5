"""The report: the results of a load run, as short tables for a terminal."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from eventstore.counted import counted
from worker.load.cpu import WORKERS
from worker.load.figures import duration, share
from worker.load.summary import Summary
from worker.load.traces.spans import Spans
from worker.printable import printable

__all__ = ["report"]

_ORDER = ("accepted", "rejected", "unchanged", "failed")
_NUMERIC = frozenset({"commands", "share", "seconds", "of one core", "per command"})


def report(summary: Summary, spans: Spans | None = None) -> Iterator[RenderableType]:
    """Yield the parts of the report.

    Args:
        summary: The run.
        spans: Its traces; None if they were exported elsewhere.
    """
    if (behind := summary.behind()) is not None:
        yield Text.assemble(("behind", "bold yellow"), f" - {behind}")
    yield _outcomes(summary)
    yield _figures(summary, spans)
    if summary.cpu_seconds:
        yield _cpu(summary)
    yield _verdict(summary)


def _outcomes(summary: Summary) -> Table:
    """Return how the load's commands ended, by kind, each rejection by its reason."""
    table = _table("outcome", "commands", "share", "reason")
    for one in sorted(summary.reasons, key=lambda each: (_rank(each.outcome), -each.commands)):
        table.add_row(one.outcome, f"{one.commands:,}", share(one.commands, summary.commands), printable(one.reason))
    if summary.unanswered:
        table.add_row("no answer", f"{summary.unanswered:,}", share(summary.unanswered, summary.commands), "")
    return table


def _figures(summary: Summary, spans: Spans | None) -> Table:
    """Return throughput, cost of conflicts, longest waits, and the servers that answered reads."""
    table = _table("", "")
    table.show_header = False
    table.add_row("throughput", f"{summary.throughput_per_s:,.0f} commands/s over {summary.seconds:.1f} s")
    latency, unluckiest = summary.latency_ms, summary.unluckiest
    since = "sent" if summary.load == "closed" else "due"
    if latency is not None and unluckiest is not None:
        percentiles = (f"{name} {duration(getattr(latency, name) / 1000)}" for name in ("p50", "p95", "p99"))
        table.add_row(f"latency, {since} to answered", f"{', '.join(percentiles)}, max {duration(latency.max / 1000)}")
        waited = f"{duration(unluckiest.latency_ms / 1000)}, decided {counted(unluckiest.attempts, 'time')}"
        table.add_row(
            "fairness",
            f"p99 is {summary.p99_over_p50:.1f} times p50; longest waited {unluckiest.command_type} "
            f"{unluckiest.command_id} ({waited})",
        )
    for each in summary.by_domain:
        if each.latency_ms is not None:
            p50, p99, most = (
                duration(ms / 1000) for ms in (each.latency_ms.p50, each.latency_ms.p99, each.latency_ms.max)
            )
            table.add_row(f"{each.domain}", f"{each.answered:,} answered, p50 {p50}, p99 {p99}, max {most}")
    table.add_row("conflicts and retries", _conflicts(summary))
    table.add_row(
        "duplicates",
        f"{counted(summary.copies, 'copy', 'copies')} sent, {counted(summary.duplicates, 'message')} answered from an "
        "earlier one's receipt",
    )
    table.add_row("wasted decisions", f"{summary.wasted_decisions:,}, by conflicts and duplicates")
    if spans is not None:
        table.add_row("reads", f"{spans.reads:,}, {share(spans.replica_reads, spans.reads)} served by the replica")
        reaching = f"{spans.complete:,} of {summary.messages:,} from the publisher to a worker"
        table.add_row("traces recorded", f"{reaching}, {counted(spans.count, 'span')}")
    elif summary.replica_read_share is not None:
        table.add_row("reads", f"{summary.replica_read_share:.1%} served by the replica")
    if summary.outages:
        table.add_row("outages", f"a store was down {counted(summary.outages, 'time')}")
    if summary.workers_killed:
        table.add_row("workers killed", f"{summary.workers_killed:,}, each replaced")
    return table


def _cpu(summary: Summary) -> Table:
    """Return what each party used during the load, which shows the bottleneck."""
    table = _table("CPU", "seconds", "of one core", "per command")
    spent, answered = summary.cpu_seconds, sum(summary.outcomes.values())
    rows = sorted(spent.items(), key=lambda one: -one[1])
    if len(spent) > 1 and WORKERS in spent:
        rows.append(("together", sum(spent.values())))
    for party, used in rows:
        each = f"{used / answered * 1e6:,.0f} µs" if answered else "-"
        table.add_row(party, f"{used:.1f}", share(used, summary.seconds), each)
    return table


def _verdict(summary: Summary) -> RenderableType:
    """Return the oracle's verdict, with what was checked, or the violations."""
    oracle = summary.oracle
    if not summary.violations:
        return Text.assemble(
            ("verdict: clean", "bold green"),
            f" - {counted(oracle.events, 'event')} numbered without a gap; "
            f"{counted(oracle.receipts, 'command')}, one receipt each; "
            f"{summary.oracle_checked:,} decided again from their prefix with the same answer{oracle.apart}; "
            f"invariants unbroken: "
            f"{', '.join(oracle.invariants) or 'none declared'} ({oracle.seconds:.1f} s)",
        )
    lines = [Text(f"verdict: {counted(summary.violations, 'violation')}", style="bold red")]
    for violation in summary.violation_details:
        lines.append(Text(f"  {printable(violation.text)}"))
        lines += [Text(f"      {printable(line)}", style="dim") for line in violation.evidence]
    if summary.violations > len(summary.violation_details):
        lines.append(Text(f"  and {summary.violations - len(summary.violation_details):,} more"))
    return Group(*lines)


def _conflicts(summary: Summary) -> str:
    again = summary.attempts.again
    if not again:
        return "none"
    met = f"{counted(again, 'command')} ({share(again, sum(summary.attempts.histogram.values()))}) met one or more"
    stale = f"; {summary.stale_conflicts:,} after reading a replica" if summary.stale_conflicts else ""
    most = f"decided at most {counted(summary.attempts.max, 'time')}"
    return f"{counted(summary.conflicts, 'conflict')}: {met}, {most}{stale}"


def _rank(outcome: str) -> int:
    return _ORDER.index(outcome) if outcome in _ORDER else len(_ORDER)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in _NUMERIC else "left")
    return table
