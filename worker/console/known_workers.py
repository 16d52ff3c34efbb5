"""Known workers: which have reported, their current figures, and which are silent."""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.counters import End
from worker.reporting.latency import quantile
from worker.reporting.report import PartReport, Report, read_report

__all__ = ["Figures", "HotRow", "KnownWorkers", "Throughput", "WorkerRow"]

# Current figures are those of the last seconds, as many as this.
_WINDOW_SECONDS = 10.0
# A worker counts as gone after this many missing reports, and a moment.
_MISSED = 3
_GRACE_SECONDS = 1.0
# How long workers that are gone or stopped are shown. Any program that may publish reports could invent workers.
_REMEMBERED_SECONDS = 600.0
_MOST_WORKERS = 2000
_MOST_HOT = 10
# The charts show the last two minutes, in steps of this many seconds.
_STEP_SECONDS = 2.0
_STEPS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    at: float
    report: Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Rates in a period, in numbers a second.

    Attributes:
        received: Deliveries that arrived.
        ends: Deliveries that ended, by result.
        conflicts: Decisions that conflicted when they were recorded.
        p50: Seconds within which half of the commands were answered; infinity if that is above all buckets; None if no
            command was answered.
        p95: Seconds within which 95 % were answered, with the same special values.
        p99: Seconds within which 99 % were answered, with the same special values.
    """

    received: float
    ends: dict[End, float]
    conflicts: float
    p50: float | None
    p95: float | None
    p99: float | None

    @property
    def settled(self) -> float:
        """Deliveries that ended, with any result."""
        return sum(self.ends.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """The state of a worker process.

    Attributes:
        report: Its last report.
        is_gone: Whether it has stopped reporting.
        silent: Seconds since its last report.
        figures: Its current rates; None if it is gone or has ended, or has reported only once.
    """

    report: Report
    is_gone: bool
    silent: float
    figures: Figures | None

    @property
    def lives(self) -> bool:
        """Whether it runs, as far as is known."""
        return not (self.is_gone or self.report.ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class HotRow:
    """A part that many commands read now, over all workers.

    Attributes:
        part: The part, as reported by one worker.
        commands: How many commands read it, a second.
        conflicts: How many decisions on it conflicted, a second.
        workers: How many workers decide on it.
    """

    part: PartReport
    commands: float
    conflicts: float
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Rates over the last two minutes, in steps, the oldest first.

    Attributes:
        step: The length of a step, in seconds.
        settled: Deliveries that ended, a second.
        conflicts: Decisions that conflicted, a second.
    """

    step: float
    settled: tuple[float, ...]
    conflicts: tuple[float, ...]


class KnownWorkers:
    """Keeps the reports of workers, for as long as they matter.

    Args:
        clock: A monotonic clock, in seconds.

    Attributes:
        refused: How many messages were no reports.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.refused = 0
        self._clock = clock
        self._samples: dict[str, deque[_Sample]] = {}
        self._steps: dict[int, Counter[str]] = defaultdict(Counter)

    def take(self, body: bytes) -> None:
        """Take a message as a report. If it is none, it is only counted."""
        try:
            report = read_report(body)
        except ValueError:
            self.refused += 1
            return
        now = self._clock()
        samples = self._samples.get(report.worker)
        if samples is None:
            self._forget(now)
            samples = self._samples[report.worker] = deque()
        else:
            self._note_step(now, samples[-1].report, report)
        samples.append(_Sample(at=now, report=report))
        # One sample from before the window is kept: figures are differences.
        while len(samples) > 2 and samples[1].at <= now - _WINDOW_SECONDS:  # noqa: PLR2004  one, and the newest
            samples.popleft()

    def rows(self) -> list[WorkerRow]:
        """Return the known workers, by host and process."""
        now = self._clock()
        self._forget(now)
        found = [self._row(samples, now) for samples in self._samples.values()]
        return sorted(found, key=lambda row: (row.report.host, row.report.pid, row.report.started_at))

    def figures(self) -> Figures | None:
        """Return the rates of all running workers together; None if there are none, or each has reported only once."""
        now = self._clock()
        living = [samples for samples in self._samples.values() if self._row(samples, now).lives]
        return _figures(living)

    def hottest(self) -> list[HotRow]:
        """Return the parts that most commands read now; a conflict counts as ten commands."""
        now = self._clock()
        rates: dict[tuple[str, str, str], list[tuple[PartReport, str, float]]] = defaultdict(list)
        for worker, samples in self._samples.items():
            recent = [each for each in samples if each.at > now - _WINDOW_SECONDS]
            seconds = sum(each.report.seconds for each in recent)
            for sample in recent:
                for part in sample.report.parts:
                    rates[part.domain, part.view, part.key].append((part, worker, seconds))
        rows = [
            HotRow(
                part=found[-1][0],
                commands=sum(part.commands / seconds for part, _, seconds in found),
                conflicts=sum(part.conflicts / seconds for part, _, seconds in found),
                workers=len({worker for _, worker, _ in found}),
            )
            for found in rates.values()
        ]
        return sorted(rows, key=lambda row: row.commands + 10 * row.conflicts, reverse=True)[:_MOST_HOT]

    def throughput(self) -> Throughput:
        """Return the rates over the last two minutes, without the current, incomplete step."""
        last = self._step(self._clock())
        steps = [self._steps.get(step, Counter()) for step in range(last - _STEPS, last)]
        return Throughput(
            step=_STEP_SECONDS,
            settled=tuple(step["settled"] / _STEP_SECONDS for step in steps),
            conflicts=tuple(step["conflicts"] / _STEP_SECONDS for step in steps),
        )

    def domains(self) -> dict[str, int | None]:
        """Return the domains that running workers serve, with the number of their shards."""
        return {domain.name: domain.shards for row in self.rows() if row.lives for domain in row.report.domains}

    def _row(self, samples: Sequence[_Sample], now: float) -> WorkerRow:
        last = samples[-1]
        silent = now - last.at
        is_gone = not last.report.ended and silent > _MISSED * last.report.interval + _GRACE_SECONDS
        lives = not (is_gone or last.report.ended)
        return WorkerRow(
            report=last.report, is_gone=is_gone, silent=silent, figures=_figures([samples]) if lives else None
        )

    def _note_step(self, now: float, before: Report, report: Report) -> None:
        step = self._step(now)
        for old in [each for each in self._steps if each < step - _STEPS]:
            del self._steps[old]
        grown = _grown(before, report)
        self._steps[step]["settled"] += sum(grown[end.value] for end in End)
        self._steps[step]["conflicts"] += grown["conflicts"]

    @staticmethod
    def _step(moment: float) -> int:
        return int(moment // _STEP_SECONDS)

    def _forget(self, now: float) -> None:
        for worker, samples in list(self._samples.items()):
            if now - samples[-1].at > _REMEMBERED_SECONDS:
                del self._samples[worker]
        while len(self._samples) > _MOST_WORKERS:
            del self._samples[min(self._samples, key=lambda worker: self._samples[worker][-1].at)]


def _grown(before: Report, after: Report) -> Counter[str]:
    # A program that invents reports may let counts decrease.
    return Counter({name: max(count - before.counters.get(name, 0), 0) for name, count in after.counters.items()})


def _figures(workers: Sequence[Sequence[_Sample]]) -> Figures | None:
    rates: defaultdict[str, float] = defaultdict(float)
    buckets: Counter[float] = Counter()
    is_known = False
    for samples in workers:
        first, last = samples[0], samples[-1]
        if last.at <= first.at:
            continue
        is_known = True
        for name, count in _grown(first.report, last.report).items():
            rates[name] += count / (last.at - first.at)
        if first.report.bounds == last.report.bounds:
            for bound, more, less in zip(
                (*last.report.bounds, float("inf")), last.report.latency, first.report.latency, strict=True
            ):
                buckets[bound] += max(more - less, 0)
    if not is_known:
        return None
    *bounds, _ = sorted({*buckets, float("inf")})
    latency = [buckets[bound] for bound in (*bounds, float("inf"))]
    return Figures(
        received=rates["received"],
        ends={end: rates[end.value] for end in End},
        conflicts=rates["conflicts"],
        p50=quantile(bounds, latency, 0.50),
        p95=quantile(bounds, latency, 0.95),
        p99=quantile(bounds, latency, 0.99),
    )
