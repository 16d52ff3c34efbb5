"""The comparison: two load runs side by side."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from worker.load.summary import Summary

__all__ = ["Row", "comparison", "differences"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure of two runs.

    Attributes:
        name: The figure's name.
        unit: Its unit.
        first: The value of the first run; None if it was not measured.
        second: The value of the second run; None if it was not measured.
    """

    name: str
    unit: str
    first: float | None
    second: float | None

    @property
    def change(self) -> float | None:
        """The relative change from the first to the second value; None if there is none."""
        if self.first is None or self.second is None or not self.first:
            return None
        return self.second / self.first - 1


def comparison(first: Summary, second: Summary) -> Iterator[Row]:
    """Yield the figures of two runs."""
    for name, unit, figure in _FIGURES:
        yield Row(name=name, unit=unit, first=figure(first), second=figure(second))


def differences(first: Summary, second: Summary) -> list[str]:
    """Return a line for each setting that differs between the runs, and may explain differences in figures."""
    settings = [(name, getattr(first, name), getattr(second, name)) for name in _SETTINGS]
    names = dict.fromkeys((*first.parameters, *second.parameters))
    settings += [(name, first.parameters.get(name), second.parameters.get(name)) for name in names]
    return [
        f"{name.replace('_', ' ')}: {_shown(one)} and {_shown(other)}" for name, one, other in settings if one != other
    ]


def _shown(setting: object) -> str:
    """Return a setting for people; None is one that the run did not have."""
    return "none" if setting is None else f"{setting:.12g}" if isinstance(setting, float) else str(setting)


_SETTINGS = (
    "domain",
    "scenario",
    "seed",
    "commands",
    "load",
    "in_flight",
    "rate_per_s",
    "workers",
    "workers_killed",
)

_Figure = Callable[[Summary], float | None]


def _latency(name: str) -> _Figure:
    return lambda summary: None if summary.latency_ms is None else float(getattr(summary.latency_ms, name))


def _per_command(name: str) -> _Figure:
    return lambda summary: getattr(summary, name) / summary.commands if summary.commands else None


_FIGURES: tuple[tuple[str, str, _Figure], ...] = (
    ("throughput", "commands/s", lambda summary: summary.throughput_per_s),
    ("latency p50", "ms", _latency("p50")),
    ("latency p95", "ms", _latency("p95")),
    ("latency p99", "ms", _latency("p99")),
    ("latency max", "ms", _latency("max")),
    ("p99 over p50", "", lambda summary: summary.p99_over_p50),
    ("conflicts", "per command", _per_command("conflicts")),
    ("attempts, mean", "", lambda summary: summary.attempts.mean),
    ("attempts, max", "", lambda summary: summary.attempts.max),
    ("wasted decisions", "per command", _per_command("wasted_decisions")),
    ("duplicates", "", lambda summary: summary.duplicates),
    ("reads by a replica", "share", lambda summary: summary.replica_read_share),
    ("CPU of the workers", "µs per command", lambda summary: summary.cpu_us_per_command),
    ("violations", "", lambda summary: summary.violations),
)
