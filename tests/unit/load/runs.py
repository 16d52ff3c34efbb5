"""Example load runs for the tests of summaries and pages."""

import random
from pathlib import Path
from typing import Any
from uuid import UUID

from handlers.library import domain
from handlers.library.scenarios.hot_book import HotBook
from tests.support.domains.tally import Count
from worker.load.fleet import Drain
from worker.load.oracle_report import OracleReport
from worker.load.runner import Pace
from worker.load.session import Plan, RunResult, StartedWorkers
from worker.load.summary import Summary
from worker.load.tally import Tally
from worker.message import Reply

FIGURES = {
    "received": 110,
    "accepted": 60,
    "rejected": 40,
    "duplicate": 10,
    "dead_lettered": 0,
    "conflicts": 12,
    "stale_conflicts": 8,
    "reads": 200,
    "replica_reads": 150,
}


def plan(*, workers: int = 2, pace: Pace | None = None) -> Plan:
    started = StartedWorkers(workers=workers, environment={}, folder=Path("logs")) if workers else None
    return Plan(
        domain=domain,
        scenario=HotBook(readers=7),
        seed=3,
        commands=100,
        pace=pace or Pace(in_flight=8),
        amqp_url="amqp://mq",
        started=started,
    )


def tally(commands: int = 100) -> Tally:
    """Ten commands a second, each answered within its number of milliseconds; two in five are rejected."""
    made = Tally(total=commands, messages=commands + 10, copies=10, began=100.0, ended=100.0 + commands / 10)
    for number in range(1, commands + 1):
        command_id = UUID(int=number)
        rejected = number % 5 < 2
        reply = Reply(
            command_id=command_id,
            outcome="rejected" if rejected else "accepted",
            reason="<script>alert('reader')</script>" if rejected else None,
        )
        made.commands[command_id] = Count(key=str(number))
        made.replies[command_id] = [reply]
        made.answers.append(command_id)
        made.latencies.append(number / 1000)
        made.moments.append((number - 0.5) / 10)
        made.outcomes[reply.outcome, reply.reason or ""] += 1
    for number in range(1, min(commands, 10) + 1):
        made.replies[UUID(int=number)].append(Reply(command_id=UUID(int=number), outcome="accepted", duplicate=True))
    return made


def verdict() -> OracleReport:
    made = OracleReport(events=100, receipts=100, decided_again=100, invariants=("nothing <b>wrong</b>",), seconds=0.5)
    made.attempts.update({1: 90, 2: 8, 4: 2})
    made.tried_again.update({UUID(int=number): 2 for number in range(11, 19)})
    made.tried_again.update({UUID(int=99): 4, UUID(int=100): 4})
    return made


def summary(*, violations: int = 0, **changed: Any) -> Summary:
    found = verdict()
    for number in range(violations):
        found.violated(f"number {number} is \x1b[31mred & <wrong>", commands={UUID(int=1): Count(key="<k>")})
    drain = Drain(name="worker-1", status=0, figures=FIGURES, log=Path("worker-1.log"))
    ran = RunResult(tally=changed.get("tally") or tally(), drains=[drain], cpu={"workers": 0.25, "RabbitMQ": 0.5})
    return Summary.of(plan(), ran, found)


def empty() -> Summary:
    """A run without answers."""
    ran = RunResult(tally=Tally(total=5, messages=5, unanswered=5, began=1.0, ended=61.0))
    return Summary.of(plan(workers=0, pace=Pace(rate=10.0)), ran, OracleReport())


def random_summary(seed: int) -> Summary:
    """A summary of random size."""
    rng = random.Random(seed)  # noqa: S311  not cryptographic
    return summary(tally=tally(rng.choice([1, 2, 7, 50, 999])))
