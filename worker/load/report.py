"""The report: what a load run came to, as short tables for a terminal."""

from collections import Counter
from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worker.load.figures import milliseconds, percentile, share
from worker.load.oracle import Verdict
from worker.load.spans import Spans
from worker.load.tally import Tally

__all__ = ["cpu_table", "figures_table", "outcomes_table", "verdict_text"]

_PERCENTS = (50, 95, 99)
_NUMERIC = frozenset({"commands", "share", "seconds", "of one core", "per command"})


def outcomes_table(tally: Tally) -> Table:
    """Show how the load's commands ended, by kind, each rejection by its reason."""
    table = _table("outcome", "commands", "share", "reason")
    order = {"accepted": 0, "rejected": 1, "unchanged": 2, "failed": 3}
    for (kind, reason), count in sorted(
        tally.outcomes.items(), key=lambda one: (order.get(one[0][0], len(order)), -one[1])
    ):
        table.add_row(kind, f"{count:,}", share(count, tally.answered), reason)
    if tally.unanswered:
        table.add_row("no answer", f"{tally.unanswered:,}", share(tally.unanswered, tally.total), "")
    return table


def figures_table(tally: Tally, attempts: Mapping[int, int], spans: Spans | None) -> Table:
    """Show how fast it went, what conflicts cost, and who answered the reads.

    Args:
        tally: The run.
        attempts: How many commands were decided how often, as the receipts say.
        spans: The traces, or None when they were recorded elsewhere.
    """
    table = _table("", "")
    table.show_header = False
    table.add_row("throughput", f"{tally.throughput:,.0f} commands/s over {tally.seconds:.1f} s")
    ordered = sorted(tally.latencies)
    if ordered:
        percentiles = (f"p{percent} {milliseconds(percentile(ordered, percent))}" for percent in _PERCENTS)
        table.add_row("latency, sent to answered", f"{', '.join(percentiles)}, max {milliseconds(ordered[-1])}")
    table.add_row("conflicts and retries", _attempts(attempts))
    duplicates = sum(reply.duplicate for replies in tally.replies.values() for reply in replies)
    table.add_row(
        "duplicates",
        f"{tally.copies:,} commands sent twice, {duplicates:,} answered from the first one's receipt",
    )
    if spans is not None:
        table.add_row("reads", f"{spans.reads:,}, {share(spans.replica_reads, spans.reads)} served by the replica")
        reaching = f"{spans.complete:,} of {tally.messages:,} from the publisher to a worker"
        table.add_row("traces recorded", f"{reaching}, {spans.count:,} spans")
    return table


def cpu_table(spent: Mapping[str, float], seconds: float, commands: int) -> RenderableType:
    """Show what each party spent during the load, and so what bounds it.

    Args:
        spent: CPU seconds by party.
        seconds: How long the load ran.
        commands: How many commands it had.
    """
    table = _table("CPU", "seconds", "of one core", "per command")
    rows = [*sorted(spent.items(), key=lambda one: -one[1]), ("together", sum(spent.values()))]
    for party, used in rows:
        each = f"{used / commands * 1e6:,.0f} µs" if commands else "-"
        table.add_row(party, f"{used:.1f}", share(used, seconds), each)
    return table


def verdict_text(verdict: Verdict) -> RenderableType:
    """Show the oracle's verdict, with what it is founded on or what it objects to."""
    if verdict.clean:
        return Text.assemble(
            ("verdict: clean", "bold green"),
            f" - {verdict.events:,} events numbered without a gap; {verdict.receipts:,} commands, one receipt each; "
            f"{verdict.decided_again:,} decided again from their prefix with the same answer; invariants unbroken: "
            f"{', '.join(verdict.invariants) or 'none declared'} ({verdict.seconds:.1f} s)",
        )
    lines = [Text(f"verdict: {verdict.violation_count:,} violations", style="bold red")]
    lines += [Text(f"  {violation}") for violation in verdict.violations]
    if verdict.violation_count > len(verdict.violations):
        lines.append(Text(f"  and {verdict.violation_count - len(verdict.violations):,} more"))
    return Group(*lines)


def _attempts(attempts: Mapping[int, int]) -> str:
    counts = Counter(attempts)
    again = sum(count for number, count in counts.items() if number > 1)
    conflicts = sum((number - 1) * count for number, count in counts.items())
    if not again:
        return "none"
    share_of_all = share(again, counts.total())
    return f"{conflicts:,} conflicts; {again:,} commands ({share_of_all}) decided again, at most {max(counts)} times"


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in _NUMERIC else "left")
    return table
