"""The summary: what a load run came to, as one value that is written as JSON and read again."""

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
from worker.load.session import Plan, Ran

__all__ = ["Attempts", "DomainFigures", "Evidence", "Latency", "Reason", "Summary", "Unluckiest"]

_MILLI, _MICRO = 1e3, 1e6
# An open load that ends so much later than its last command was due did not keep up: seconds, and a share of the load.
_LEAST_LATE, _LEAST_LATE_SHARE = 1.0, 0.05
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Reason(_Part):
    """How many commands ended in one way, for one reason."""

    outcome: str
    reason: str
    commands: Count


class Latency(_Part):
    """Milliseconds from sending a command, or from when it was to be sent, to its answer."""

    p50: float
    p95: float
    p99: float
    max: float


class DomainFigures(_Part):
    """How one domain's commands fared, where a run has several domains."""

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
    """How often commands were decided in the delivery in which they were settled."""

    mean: float
    max: Count
    histogram: dict[int, Count]

    @property
    def again(self) -> int:
        """How many commands met a conflict, and so were decided more than once."""
        return sum(count for number, count in self.histogram.items() if number > 1)


class Evidence(_Part):
    """A violation, and the events and commands that show it, each in a line."""

    text: str
    evidence: list[str]


class Checked(_Part):
    """What the oracle looked at; forgotten are decisions on values whose subject was forgotten since."""

    events: Count
    receipts: Count
    forgotten: Count = 0
    invariants: list[str]
    seconds: float

    @property
    def apart(self) -> str:
        """What to add to how many decisions came out alike: those of which that is not asked."""
        return f" ({self.forgotten:,} read what was forgotten since, and are not compared)" if self.forgotten else ""


class Summary(_Part):
    """A load run. What could not be measured is null; nothing is estimated.

    Attributes:
        format: The version of this form.
        domain: Whose commands they were.
        scenario: Which scenario.
        parameters: Its parameters.
        seed: What its commands were generated from.
        began_at: When the load began.
        load: ``closed`` (so many in flight) or ``open`` (a rate).
        in_flight: How many commands were under way at the same time, with closed load.
        rate_per_s: How many commands were to be sent each second, with open load.
        workers: How many worker processes were started; null when others served the domain.
        workers_killed: How many of them were killed.
        outages: How often the started workers lost a store during the load.
        commands: How many commands the load had, without set-up and copies.
        messages: How many messages were sent, with set-up and copies.
        copies: How many of them repeated a command.
        unanswered: How many of them were not answered in time.
        seconds: How long the load took.
        throughput_per_s: Commands answered each second, over all of it.
        outcomes: How many commands ended in which way.
        reasons: The same, by reason.
        latency_ms: Latency; null when nothing was answered.
        by_domain: The same for each domain, where there are several.
        p99_over_p50: Fairness: how much longer the unlucky wait than the usual.
        unluckiest: The command that waited longest.
        conflicts: How many decisions were out of date when they were to be recorded, as the receipts tell.
        attempts: How often commands were decided.
        wasted_decisions: Decisions that were made and not recorded: conflicts and duplicates.
        duplicates: How many answers came from the receipt of an earlier message.
        stale_conflicts: How many conflicts of the started workers had been read from a replica.
        dead_letters: How many messages the started workers put aside.
        replica_read_share: Which share of the started workers' reads a replica answered.
        cpu_us_per_command: CPU time of the started workers for each command of the load, in microseconds.
        cpu_seconds: CPU time during the load, by party, as far as it ran on this machine and under this process.
        series: What happened over time.
        latency_histogram: How many commands took how long.
        violations: How many violations the oracle found.
        violation_details: The first twenty of them.
        oracle_checked: How many commands were decided again.
        oracle: What else the oracle looked at.
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
        """Say how far an open load was behind its rate in the end; None if it kept up, or was closed load."""
        if self.rate_per_s is None:
            return None
        due = self.commands / self.rate_per_s
        late = self.seconds - due
        if late <= max(_LEAST_LATE, _LEAST_LATE_SHARE * due):
            return None
        return (
            f"{brief(self.rate_per_s)} commands a second were due and {brief(self.throughput_per_s)} were answered, so "
            f"that the load ended {duration(late)} late: the queue grew, and latencies say how long the load lasted, "
            "not what anybody would wait at a rate that can be kept."
        )

    @classmethod
    def of(cls, plan: Plan, ran: Ran, report: OracleReport) -> Self:
        """Sum up a run."""
        tally = ran.tally
        ordered = sorted(tally.latencies)
        latency = _latency(ordered)
        decided = report.attempts.total()
        outcomes: Counter[str] = Counter()
        for (outcome, _), count in tally.outcomes.items():
            outcomes[outcome] += count
        # A worker that took its counts with it took its CPU time with it as well.
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
            workers=None if plan.crew is None else plan.crew.workers,
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


def _by_domain(plan: Plan, ran: Ran) -> list[DomainFigures]:
    tally = ran.tally
    owners = {decider.command: domain.name for domain in plan.domains for decider in domain.deciders}
    found: dict[str, list[float]] = {domain.name: [] for domain in plan.domains}
    for command_id, seconds in zip(tally.answers, tally.latencies, strict=True):
        found[owners[type(tally.commands[command_id])]].append(seconds)
    return [
        DomainFigures(domain=name, answered=len(each), latency_ms=_latency(sorted(each)))
        for name, each in found.items()
    ]


def _unluckiest(ran: Ran, report: OracleReport) -> Unluckiest | None:
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
