"""The figures: their kinds, units, and what they are compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

__all__ = [
    "AGAIN",
    "ARCHIVE_KINDS",
    "BLOAT_KINDS",
    "CPU",
    "HISTORY_KINDS",
    "KINDS",
    "ORACLE_KINDS",
    "READING_KINDS",
    "WORKER_KINDS",
    "Figure",
    "Kind",
    "figures_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of figure.

    Attributes:
        unit: ``ms`` of one caller's operation, ``1/s`` of all callers together, ``µs`` of CPU time per command, ``s``
        of CPU time per replay, ``MB``, ``B`` per event, or ``of 100``.
        ratio_to: The figure that ours is compared with; a peer's or baseline's is compared with ours.
        target: The target of the ratio, in words.
    """

    unit: str
    ratio_to: str | None = None
    target: str = ""


KINDS = {
    "select_1": Kind(unit="ms"),
    "commit_1": Kind(unit="ms"),
    "query_1": Kind(unit="ms", ratio_to="select_1", target="at most 2.5"),
    "append_1": Kind(unit="ms", ratio_to="commit_1", target="at most 1.6"),
    "append_5": Kind(unit="ms", ratio_to="append_1", target="at most 1.3"),
    "typical_1": Kind(unit="ms", ratio_to="select_1"),
    "typical_128": Kind(unit="1/s"),
    "typical_128.cpu": Kind(unit="µs", target="at most 60 µs"),
    "hot_16": Kind(unit="1/s"),
    "typical_history_10": Kind(unit="ms", ratio_to="typical_1"),
    "typical_history_100000": Kind(unit="ms", ratio_to="typical_history_10", target="at most 1.5"),
    "append_bare_peak": Kind(unit="1/s"),
    "append_conditional_peak": Kind(unit="1/s", ratio_to="append_bare_peak", target="at least 0.55"),
    "append_100_4": Kind(unit="1/s", ratio_to="append_bare_peak", target="70,000 events a second"),
    "violations_16": Kind(unit="of 100", target="none"),
    "memory_128": Kind(unit="MB"),
    "read_1000000_memory": Kind(unit="MB"),
}
"""Of the store, by name, in the order in which they are measured and shown."""
WORKER_KINDS = {
    "consume_ack": Kind(unit="1/s"),
    "worker_e2e_untraced": Kind(unit="1/s", ratio_to="consume_ack", target="at least 0.5"),
    "worker_e2e_traced_5": Kind(unit="1/s", ratio_to="worker_e2e_untraced"),
    "worker_e2e_traced_100": Kind(unit="1/s", ratio_to="consume_ack", target="at least 0.35"),
    "worker_e2e_2": Kind(unit="1/s", ratio_to="worker_e2e_untraced", target="at least 1"),
    "hot_book": Kind(unit="1/s", ratio_to="worker_e2e_untraced", target="at least 1"),
    "hot_book_4": Kind(unit="1/s", ratio_to="hot_book", target="at least 1"),
    "hot_books_affinity_4": Kind(unit="1/s", ratio_to="hot_book"),
    "consume_ack.cpu": Kind(unit="µs"),
    "worker_e2e_untraced.cpu": Kind(unit="µs", ratio_to="consume_ack.cpu"),
    "worker_e2e_traced_5.cpu": Kind(unit="µs", ratio_to="worker_e2e_untraced.cpu", target="at most 1.05"),
    "worker_e2e_traced_100.cpu": Kind(unit="µs", ratio_to="worker_e2e_untraced.cpu"),
    "worker_e2e_2.cpu": Kind(unit="µs", ratio_to="worker_e2e_untraced.cpu", target="at most 1.15"),
    "hot_book.cpu": Kind(unit="µs"),
    "hot_book_4.cpu": Kind(unit="µs", ratio_to="hot_book.cpu"),
    "hot_books_affinity_4.cpu": Kind(unit="µs", ratio_to="hot_book.cpu", target="at most 1.2"),
    "hot_books_affinity_4.again": Kind(unit="of 100", target="under 1"),
}
"""Of the worker. CPU time is that of all worker processes together."""
ORACLE_KINDS = {
    "oracle_1000": Kind(unit="s"),
    "oracle_10000": Kind(unit="s", ratio_to="oracle_1000", target="at most 15"),
    "oracle_50000": Kind(unit="s", ratio_to="oracle_10000", target="at most 7"),
    "oracle_1000_memory": Kind(unit="MB"),
    "oracle_10000_memory": Kind(unit="MB", ratio_to="oracle_1000_memory"),
    "oracle_50000_memory": Kind(unit="MB", ratio_to="oracle_10000_memory", target="at most 6"),
}
"""The oracle's numbers of commands: CPU time, and the memory that it needs besides the log and the commands."""
HISTORY_KINDS = {
    "order_10": Kind(unit="ms"),
    "order_20000": Kind(unit="ms", ratio_to="order_10", target="at most 1.5"),
    "order_10_started": Kind(unit="ms"),
    "order_20000_started": Kind(unit="ms", ratio_to="order_10_started", target="at most 2"),
    "others_p99": Kind(unit="ms"),
    "others_p99_beside": Kind(unit="ms", ratio_to="others_p99", target="at most 3"),
    "herd_wait": Kind(unit="ms"),
    "herd_memory": Kind(unit="MB", target="at most 100"),
}
"""Long histories: orders of products with this number of orders, and 32 at once of a product not yet read."""
BLOAT_KINDS = {
    "bloat_floor_0": Kind(unit="ms"),
    "bloat_read_0": Kind(unit="ms"),
    "bloat_append_0": Kind(unit="ms"),
    "bloat_floor": Kind(unit="ms", ratio_to="bloat_floor_0"),
    "bloat_read": Kind(unit="ms", ratio_to="bloat_read_0", target="at most 1.2"),
    "bloat_append": Kind(unit="ms", ratio_to="bloat_append_0", target="at most 1.2"),
}
"""Bloat beside an open snapshot: a read, an append and a ``SELECT 1`` before and after 100,000 appends."""
READING_KINDS = {
    "project": Kind(unit="1/s", target="20,000 events a second"),
    "relay_binary": Kind(unit="1/s", target="5,000 events a second"),
    "relay_structured": Kind(unit="1/s"),
    "project.cpu": Kind(unit="µs"),
    "relay_binary.cpu": Kind(unit="µs", target="at most 200 µs"),
    "relay_structured.cpu": Kind(unit="µs"),
    "project_memory": Kind(unit="MB", target="at most 150 MB"),
    "lag_p50": Kind(unit="ms"),
    "lag_p99": Kind(unit="ms", target="under 500 ms"),
    "project_beside.cpu": Kind(unit="µs"),
    "decide.cpu": Kind(unit="µs"),
    "decide_beside.cpu": Kind(unit="µs", ratio_to="decide.cpu", target="at most 1.02"),
    "decide_p50": Kind(unit="ms"),
    "decide_p50_beside": Kind(unit="ms", ratio_to="decide_p50"),
    "decide_p99": Kind(unit="ms"),
    "decide_p99_beside": Kind(unit="ms", ratio_to="decide_p99", target="at most 1.1"),
    "decide_database.cpu": Kind(unit="µs"),
    "decide_database_beside.cpu": Kind(unit="µs", ratio_to="decide_database.cpu"),
}
"""Of what follows the log: one row an event, and one confirmed message an event; then a worker that decides commands
at a fixed rate, without and with a projection of what it records. CPU time is that of the process itself, an event or a
command; ``database`` is all processes of PostgreSQL, a command.
"""
ARCHIVE_KINDS = {
    "archive_events": Kind(unit="1/s"),
    "archive_bytes": Kind(unit="B"),
    "archive_summary_bytes": Kind(unit="B"),
    "archive_query": Kind(unit="ms"),
    "archive_query_beside": Kind(unit="ms", ratio_to="archive_query"),
    "archive_append": Kind(unit="ms"),
    "archive_append_beside": Kind(unit="ms", ratio_to="archive_append"),
    "archive_decided_whole": Kind(unit="of 100", target="all"),
    "archive_decided": Kind(unit="of 100"),
    "archive_decided_new": Kind(unit="of 100", target="all"),
}
"""Of archives: how many events a second are moved out, bytes an event in a file and in the summary that is left; one
caller's query and append of something new without and beside archived ranges; and how many commands still decide.
"""
CPU = ".cpu"
AGAIN = ".again"
TARGETS = {
    "psycopg.typical_128": "at least 0.9",
    "sqlalchemy.typical_128": "at least 0.9",
    "eventsourcing.typical_128": "at most 1/15",
    "umadb.typical_128": "at most 1/4",
    "eventsourcing.hot_16": "at most 1/5",
    "umadb.hot_16": "at most 1/5",
    "single.hot_book": "at most 1/3",
    "eventsourcing.project": "at most 1/3",
}
_ALL = KINDS | WORKER_KINDS | ORACLE_KINDS | HISTORY_KINDS | BLOAT_KINDS | READING_KINDS | ARCHIVE_KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure, as it is stored.

    Attributes:
        name: The kind's name; a peer's or baseline's is prefixed with its name and a dot.
        value: The median of all samples.
        unit: The kind's unit.
        ratio_to: The figure that it is compared with, or None.
        ratio: This figure divided by that one: the median over all pairs of samples that were taken next to each
        other, and so more stable on a busy machine than the ratio of the two medians.
    """

    name: str
    value: float
    unit: str
    ratio_to: str | None
    ratio: float | None

    @property
    def target(self) -> str:
        """The target of the ratio, in words."""
        return TARGETS.get(self.name) or ("" if _is_anothers(self.name) else _ALL[self.name].target)

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def figures_of(samples: Mapping[str, Sequence[float]]) -> list[Figure]:
    """Make figures of samples, one list per name; the lists of compared figures are in the same order."""
    return [_figure(name, samples) for name in samples]


def _figure(name: str, samples: Mapping[str, Sequence[float]]) -> Figure:
    own = name.partition(".")[2] if _is_anothers(name) else name
    kind = _ALL[own]
    ratio_to = own if own != name else kind.ratio_to
    pairs = list(zip(samples[name], samples.get(ratio_to or "", ()), strict=False))
    ratio = median(value / base for value, base in pairs) if pairs and all(base for _, base in pairs) else None
    return Figure(
        name=name,
        value=median(samples[name]),
        unit=kind.unit,
        ratio_to=ratio_to if ratio is not None else None,
        ratio=ratio,
    )


def _is_anothers(name: str) -> bool:
    """Whether a figure is a peer's or baseline's."""
    return name not in _ALL
