"""The session: one load run, from the first worker to the verdict."""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from eventstore import EventStore
from eventstore.counted import counted
from handlers.domain import Domain
from handlers.erasure.master_key import MasterKeys
from handlers.scenario import Scenario, Workload
from worker.load.cpu import cpu_by_party
from worker.load.fleet import Drain, Fleet
from worker.load.generation import generated
from worker.load.live import watching
from worker.load.oracle import judge
from worker.load.oracle_report import OracleReport
from worker.load.outage import PlannedOutage, ServerProxy, interrupted
from worker.load.runner import Pace, Runner
from worker.load.tally import Tally
from worker.printable import printable
from worker.publisher import Publisher
from worker.waiting import first_of

__all__ = ["LoadStore", "Plan", "RunResult", "StartedWorkers", "head_of", "judged", "perform"]

_SETTLED = ("accepted", "rejected", "unchanged", "duplicate", "dead_lettered")


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedWorkers:
    """The worker processes that a run starts.

    Attributes:
        workers: The number of processes.
        environment: Their complete environment. They answer no probes, whatever it says.
        folder: The folder for their logs.
        kill_every: The interval at which one is killed with SIGKILL and replaced, in seconds; None to kill none.
        outage: The store that they lose at intervals during the load; None for none.
    """

    workers: int
    environment: Mapping[str, str]
    folder: Path
    kill_every: float | None = None
    outage: PlannedOutage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadStore:
    """A store that events of a run are recorded in.

    Attributes:
        store: The store.
        domains: The domains of the run whose events are in it.
    """

    store: EventStore
    domains: tuple[Domain, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plan of a run.

    Attributes:
        domain: The domain of the scenario.
        beside: Other domains that it sends commands to.
        scenario: The scenario.
        seed: The seed; the same seed generates the same commands.
        commands: The number of commands of the load.
        pace: How fast commands are sent.
        timeout: How long an answer may take, in seconds.
        amqp_url: The broker's address.
        started: The workers to start; None if others serve the domain already.
    """

    domain: Domain
    beside: tuple[Domain, ...] = ()
    scenario: Scenario
    seed: int
    commands: int
    pace: Pace
    timeout: float = 60.0
    amqp_url: str
    started: StartedWorkers | None = None

    @property
    def domains(self) -> tuple[Domain, ...]:
        """All domains that it sends commands to."""
        return (self.domain, *self.beside)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The outcome of a run, before it is judged.

    Attributes:
        tally: What was sent and answered.
        since: Sequence number of the last event before the run, in each store.
        outages: How often the workers lost a store.
        drains: How the started worker processes ended, except those that were killed.
        killed: How many were killed.
        departed: The exit status of processes that had ended by themselves when they were to be killed, by name.
        cpu: CPU seconds during the load, by party, if they could be measured.
        began_at: When the load began.
    """

    tally: Tally
    since: Sequence[int] = ()
    outages: int = 0
    drains: Sequence[Drain] = ()
    killed: int = 0
    departed: Mapping[str, int] = field(default_factory=dict)
    cpu: Mapping[str, float] = field(default_factory=dict)
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def counted(self) -> Counter[str] | None:
        """The sum of the started workers' counts.

        None if no workers were started, or if one of them did not report its counts: the sum would be incomplete.
        """
        if not self.drains or self.killed or not all(drain.figures for drain in self.drains):
            return None
        total: Counter[str] = Counter()
        for drain in self.drains:
            total.update(drain.figures)
        return total

    def complaints(self) -> list[str]:
        """Return what is wrong beyond the log: deliveries that are unaccounted for, and messages without an answer."""
        tally = self.tally
        complaints = [complaint for drain in self.drains if (complaint := drain.complaint()) is not None]
        complaints += [f"{name} ended by itself, with status {status}" for name, status in self.departed.items()]
        if (found := self.counted) is not None:
            settled = sum(found[end] for end in _SETTLED)
            # More are fine: a message that is sent or delivered again is settled again. The oracle checks by the ids
            # that each command was settled, and only once.
            if settled < tally.messages:
                sent = counted(tally.messages, "message was", "messages were")
                complaints.append(f"{sent} sent, but the workers settled {settled:,}")
        if tally.unanswered:
            complaints.append(f"{counted(tally.unanswered, 'message was', 'messages were')} not answered in time")
        if tally.answered + tally.unanswered < tally.total:
            wanted = counted(tally.total, "command was", "commands were")
            complaints.append(f"{wanted} to be sent, but only {tally.answered:,} had an answer")
        return complaints


async def head_of(store: EventStore) -> int:
    """Return the sequence number of the last event; 0 if there is none."""
    return (await store.position()).number


async def perform(plan: Plan, stores: Sequence[LoadStore], console: Console) -> RunResult:
    """Start the workers, settle the set-up, publish the load, and drain the started workers.

    Args:
        plan: The plan of the run.
        stores: The stores that events are recorded in.
        console: The terminal that shows the progress.

    Raises:
        FleetError: A started worker failed.
        BrokerError: The broker stopped accepting commands, or a domain has no queue because it was never served.
        InvalidScenario: The scenario's own code fails, or its commands are not the domain's.

    On cancellation nothing more is sent, and started workers are ended.
    """
    since = [await head_of(each.store) for each in stores]
    # With the names of an earlier run on the same log, nothing would be as the scenario says.
    prefix = f"{secrets.token_hex(3)}-" if any(since) else ""
    workload = generated(plan.scenario, plan.domains, _random(plan.seed), plan.commands, prefix=prefix)
    async with AsyncExitStack() as stack:
        fleet = proxy = None
        if (started := plan.started) is not None:
            environment = started.environment
            if started.outage is not None:
                proxy = ServerProxy(started.outage.url)
                await proxy.open()
                stack.push_async_callback(proxy.close)
                environment = started.outage.environment(environment, proxy.url)
            fleet = await stack.enter_async_context(Fleet.running(started.workers, environment, started.folder))
        publisher = await stack.enter_async_context(Publisher.connect(plan.amqp_url, name="load"))
        copier = await stack.enter_async_context(Publisher.connect(plan.amqp_url, name="load copies"))
        # A random generator of its own: the workload is generated from the other one while copies are chosen.
        runner = Runner(
            publisher,
            copier,
            plan.domains,
            pace=plan.pace,
            timeout=plan.timeout,
            rng=_random(plan.seed),
        )
        async with watching(runner.tally, console):
            await runner.set_up(workload.setup)
            _tell_refusals(runner.tally, console)
            began_at, before = datetime.now(UTC), _cpu(fleet)
            async with _outages(plan, proxy):
                await _load(plan, runner, workload, fleet)
            after = _cpu(fleet)
        return RunResult(
            tally=runner.tally,
            since=since,
            outages=0 if proxy is None else proxy.closures,
            drains=() if fleet is None else await fleet.drain(),
            killed=0 if fleet is None else fleet.killed,
            departed={} if fleet is None else fleet.departed,
            cpu={party: seconds - before.get(party, 0.0) for party, seconds in after.items()},
            began_at=began_at,
        )


async def judged(
    ran: RunResult,
    stores: Sequence[LoadStore],
    progress: Callable[[int], None] | None = None,
    *,
    master: MasterKeys | None = None,
) -> OracleReport:
    """Have the oracle check a run, and add what is wrong beyond the log. Raises the errors of ``judge``.

    Each store is checked separately: its log and receipts must hold all commands of its domains, and no others.
    """
    tally = ran.tally
    report = OracleReport()
    for each, since in zip(stores, ran.since, strict=True):
        kinds = {decider.command for domain in each.domains for decider in domain.deciders}
        domain, *beside = each.domains
        report.add(
            await judge(
                each.store,
                domain,
                {key: command for key, command in tally.commands.items() if type(command) in kinds},
                tally.replies,
                beside=beside,
                setup=tally.setup,
                since=since,
                master=master,
                progress=progress,
            )
        )
    for complaint in ran.complaints():
        report.violated(complaint)
    return report


@asynccontextmanager
async def _outages(plan: Plan, proxy: ServerProxy | None) -> AsyncIterator[None]:
    if plan.started is None or plan.started.outage is None or proxy is None:
        yield
        return
    async with interrupted(proxy, plan.started.outage):
        yield


async def _load(plan: Plan, runner: Runner, workload: Workload, fleet: Fleet | None) -> None:
    kill_every = None if plan.started is None else plan.started.kill_every
    if fleet is None or kill_every is None:
        await runner.load(workload, total=plan.commands)
        return
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_kill(fleet, kill_every, _random(plan.seed), over))
        try:
            await runner.load(workload, total=plan.commands)
        finally:
            over.set()


def _tell_refusals(tally: Tally, console: Console) -> None:
    """Print which commands of the set-up were refused: the load is then not what the scenario intends."""
    for (name, outcome, reason), count in sorted(tally.refusals.items()):
        text = f"set-up: {count:,} of {counted(len(tally.setup), 'command')} {outcome}, {name}: {reason}"
        console.print(printable(text), highlight=False, markup=False, soft_wrap=True)


async def _kill(fleet: Fleet, every: float, rng: random.Random, over: asyncio.Event) -> None:
    """Kill one worker after the other until the event is set; the last one killed is replaced, too."""
    while True:
        await first_of(over, within=every)
        if over.is_set():
            return
        await fleet.replace(rng.choice(fleet.names))


def _cpu(fleet: Fleet | None) -> dict[str, float]:
    return cpu_by_party(() if fleet is None else fleet.pids)


def _random(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  a workload, not a secret
