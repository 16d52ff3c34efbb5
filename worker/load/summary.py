"""The summary: the results of a load run, as one value that is written as JSON and read again."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from worker.load.cpu import WORKERS
from worker.load.figures import brief, duration, percentile
from worker.load.oracle_report import OracleReport
from worker.load.series import Bin, Series, bins
from worker.load.session import Plan, RunResult

__all__ = ["Attempts", "DomainFigures", "Evidence", "Latency", "Reason", "Summary", "Unluckiest"]

_MILLI, _MICRO = 1e3, 1e6
# An open load did not keep up if it ends this much later than its last command was due: in seconds, and as a share of
# the load.
_LEAST_LATE, _LEAST_LATE_SHARE = 1.0, 0.05
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Reason(_Part):
    """The number of commands that ended in one way, for one reason."""

    outcome: str
    reason: str
    commands: Count


class Latency(_Part):
    """Milliseconds from when a command was sent, or was due, to its answer."""

    p50: float
    p95: float
    p99: float
    max: float


class DomainFigures(_Part):
    """The figures of one domain's commands, in a run with several domains."""

    domain: str
    answered: Count
    latency_ms: Latency | None


class Unluckiest(_Part):
    """The command that waited longest."""

    command_id: UUID
    command_type: str
    latency_ms: float
    attempts: Count


class Attempts(_Part):
    """The numbers of attempts of commands, in the delivery in which they were settled."""

    mean: float
    max: Count
    histogram: dict[int, Count]

    @property
    def again(self) -> int:
        """How many commands conflicted, and so had more than one attempt."""
        return sum(count for number, count in self.histogram.items() if number > 1)


class Evidence(_Part):
    """A violation, and the events and commands that show it, each in a line."""

    text: str
    evidence: list[str]


class Checked(_Part):
    """What the oracle checked.

    Attributes:
        events: The number of events in the log.
        receipts: The number of receipts of the run's commands.
        reacted: The number of receipts of commands that reactions sent.
        forgotten: The number of decisions on values whose subject has been forgotten since.
        invariants: The names of the invariants.
        seconds: How long it took.
    """

    events: Count
    receipts: Count
    reacted: Count = 0
    forgotten: Count = 0
    invariants: list[str]
    seconds: float

    @property
    def apart(self) -> str:
        """The text to add to the number of repeated decisions: how many of them, and of others, are not compared."""
        forgotten = f" ({self.forgotten:,} read what was forgotten since, and are not compared)"
        reacted = f"; {self.reacted:,} of reactions beside them, not decided again"
        return forgotten * bool(self.forgotten) + reacted * bool(self.reacted)


class Summary(_Part):
    """A load run. What could not be measured is null; nothing is estimated.

    Attributes:
        format: The version of this format.
        domain: Name of the scenario's domain.
        scenario: Name of the scenario.
        parameters: The scenario's parameters.
        seed: The seed of its commands.
        began_at: When the load began.
        load: ``closed`` (a number in flight) or ``open`` (a rate).
        in_flight: The number of commands in progress at the same time, with closed load.
        rate_per_s: The number of commands to send a second, with open load.
        workers: The number of worker processes that were started; null if others served the domain.
        workers_killed: How many of them were killed.
        outages: How often the started workers lost a store during the load.
        commands: The number of commands of the load, without set-up and copies.
        messages: The number of messages that were sent, with set-up and copies.
        copies: How many messages repeated a command.
        unanswered: How many messages were not answered in time.
        seconds: The duration of the load.
        throughput_per_s: Commands answered a second, over the whole load.
        outcomes: The number of commands by outcome.
        reasons: The number of commands by outcome and reason.
        latency_ms: The latency of commands; null if none was answered.
        by_domain: The figures of each domain, if there are several.
        p99_over_p50: Fairness: the 99th percentile of the latency divided by the median.
        unluckiest: The command that waited longest; null if none was answered.
        conflicts: How many decisions conflicted when they were recorded, according to the receipts.
        attempts: The numbers of attempts.
        wasted_decisions: Decisions that were not recorded: conflicts and duplicates.
        duplicates: How many answers came from the receipt of an earlier message.
        stale_conflicts: How many conflicts of the started workers were on reads of a replica.
        dead_letters: How many messages the started workers dead-lettered.
        replica_read_share: The share of the started workers' reads that a replica answered.
        cpu_us_per_command: CPU time of the started workers for each command of the load, in microseconds.
        cpu_seconds: CPU time during the load, by party: of this process and its descendants.
        series: The figures over time.
        latency_histogram: The number of commands by latency.
        violations: How many violations the oracle found.
        violation_details: The first twenty violations.
        oracle_checked: How many commands were decided again.
        oracle: What else the oracle checked.
    """

    format: Literal[1] = 1
    domain: str
    scenario: str
    parameters: dict[str, int | float]
    seed: int
    began_at: datetime
    load: Literal["closed", "open"]
    in_flight: Count | None
    rate_per_s: float | None
    workers: Count | None
    workers_killed: Count
    outages: Count = 0
    commands: Count
    messages: Count
    copies: Count
    unanswered: Count
    seconds: float
    throughput_per_s: float
    outcomes: dict[str, Count]
    reasons: list[Reason]
    latency_ms: Latency | None
    by_domain: list[DomainFigures] = []
    p99_over_p50: float | None
    unluckiest: Unluckiest | None
    conflicts: Count
    attempts: Attempts
    wasted_decisions: Count
    duplicates: Count
    stale_conflicts: Count | None
    dead_letters: Count | None
    replica_read_share: Share | None
    cpu_us_per_command: float | None
    cpu_seconds: dict[str, float]
    series: Series
    latency_histogram: list[Bin]
    violations: Count
    violation_details: list[Evidence]
    oracle_checked: Count
    oracle: Checked

    def behind(self) -> str | None:
        """Return how far an open load was behind its rate at its end; None if it kept up, or was a closed load."""
        if self.rate_per_s is None:
            return None
        due = self.commands / self.rate_per_s
        late = self.seconds - due
        if late <= max(_LEAST_LATE, _LEAST_LATE_SHARE * due):
            return None
        return (
            f"{brief(self.rate_per_s)} commands a second were due and {brief(self.throughput_per_s)} were answered, "
            f"so the load ended {duration(late)} late: the queue grew, and the latencies show how long the load "
            "lasted, not the latency at a rate that the workers can keep."
        )

    @classmethod
    def of(cls, plan: Plan, ran: RunResult, report: OracleReport) -> Self:
        """Sum up a run."""
        tally = ran.tally
        ordered = sorted(tally.latencies)
        latency = _latency(ordered)
        decided = report.attempts.total()
        outcomes: Counter[str] = Counter()
        for (outcome, _), count in tally.outcomes.items():
            outcomes[outcome] += count
        # If a worker did not report its counts, its CPU time is missing as well.
        counted = ran.counted
        cpu = {party: spent for party, spent in ran.cpu.items() if party != WORKERS or counted is not None}
        reads = counted["reads"] if counted is not None else 0
        return cls(
            domain=plan.domain.name,
            scenario=plan.scenario.name,
            parameters={parameter.name: parameter.value for parameter in plan.scenario.parameters()},
            seed=plan.seed,
            began_at=ran.began_at,
            load="closed" if plan.pace.rate is None else "open",
            in_flight=plan.pace.in_flight if plan.pace.rate is None else None,
            rate_per_s=plan.pace.rate,
            workers=None if plan.started is None else plan.started.workers,
            workers_killed=ran.killed,
            outages=ran.outages,
            commands=tally.total,
            messages=tally.messages,
            copies=tally.copies,
            unanswered=tally.unanswered,
            seconds=tally.seconds,
            throughput_per_s=tally.throughput,
            outcomes=dict(outcomes),
            reasons=[
                Reason(outcome=outcome, reason=reason, commands=count)
                for (outcome, reason), count in tally.outcomes.most_common()
            ],
            latency_ms=latency,
            by_domain=_by_domain(plan, ran) if plan.beside else [],
            p99_over_p50=None if latency is None else latency.p99 / latency.p50,
            unluckiest=_unluckiest(ran, report),
            conflicts=report.conflicts,
            attempts=Attempts(
                mean=(decided + report.conflicts) / decided if decided else 0.0,
                max=max(report.attempts, default=0),
                histogram=dict(sorted(report.attempts.items())),
            ),
            wasted_decisions=report.conflicts + tally.duplicates,
            duplicates=tally.duplicates,
            stale_conflicts=counted["stale_conflicts"] if counted is not None else None,
            dead_letters=counted["dead_lettered"] if counted is not None else None,
            replica_read_share=counted["replica_reads"] / reads if counted is not None and reads else None,
            cpu_us_per_command=cpu[WORKERS] / tally.answered * _MICRO if tally.answered and WORKERS in cpu else None,
            cpu_seconds=cpu,
            series=Series.of(tally, report.tried_again),
            latency_histogram=bins([seconds * _MILLI for seconds in ordered]),
            violations=report.violation_count,
            violation_details=[Evidence(text=each.text, evidence=each.evidence()) for each in report.violations],
            oracle_checked=report.decided_again,
            oracle=Checked(
                events=report.events,
                receipts=report.receipts,
                reacted=report.reacted,
                forgotten=report.forgotten,
                invariants=list(report.invariants),
                seconds=report.seconds,
            ),
        )


def _latency(ordered: Sequence[float]) -> Latency | None:
    if not ordered:
        return None
    p50, p95, p99 = (percentile(ordered, percent) * _MILLI for percent in (50, 95, 99))
    return Latency(p50=p50, p95=p95, p99=p99, max=ordered[-1] * _MILLI)


def _by_domain(plan: Plan, ran: RunResult) -> list[DomainFigures]:
    tally = ran.tally
    owners = {decider.command: domain.name for domain in plan.domains for decider in domain.deciders}
    found: dict[str, list[float]] = {domain.name: [] for domain in plan.domains}
    for command_id, seconds in zip(tally.answers, tally.latencies, strict=True):
        found[owners[type(tally.commands[command_id])]].append(seconds)
    return [
        DomainFigures(domain=name, answered=len(each), latency_ms=_latency(sorted(each)))
        for name, each in found.items()
    ]


def _unluckiest(ran: RunResult, report: OracleReport) -> Unluckiest | None:
    tally = ran.tally
    if not tally.answers:
        return None
    index = max(range(len(tally.latencies)), key=tally.latencies.__getitem__)
    command_id = tally.answers[index]
    return Unluckiest(
        command_id=command_id,
        command_type=type(tally.commands[command_id]).__name__,
        latency_ms=tally.latencies[index] * _MILLI,
        attempts=report.tried_again.get(command_id, 1),
    )
