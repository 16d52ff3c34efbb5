"""The demo: real commands through the whole line, and a verdict on every answer.

``make demo COMMANDS=20000 PROCESSES=2``. Exit status 0 only if nothing is wrong.
"""

import asyncio
import os
import random
import signal
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from deploy.local.errors import StackError
from deploy.local.servers import Servers, servers
from eventstore import Filter
from eventstore.postgres import PostgresEventStore, migrate
from handlers.library import domain as library
from worker.cli.failures import telling
from worker.load.cpu import cpu_spent
from worker.load.fleet import Drain, Fleet, FleetError
from worker.load.live import watching
from worker.load.oracle import Verdict, judge
from worker.load.receiver import SpanReceiver
from worker.load.report import cpu_table, figures_table, outcomes_table, verdict_text
from worker.load.runner import Runner
from worker.load.spans import Spans
from worker.load.tally import Tally
from worker.load.trace_tree import trace_tree
from worker.logs import quieten_libraries
from worker.publisher import Publisher
from worker.telemetry import Telemetry

# The share of the commands that are sent twice.
_COPIED = 0.04
# As many as a process takes from its queue at a time, so that no worker waits for us.
_OUTSTANDING_PER_PROCESS = 64
# Lines in a file need not be as short as on a narrow terminal.
_FILE_WIDTH = 120
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
# Exporters drop spans when their queue is full, and then a trace would have holes.
_BATCHES = {"OTEL_BSP_MAX_QUEUE_SIZE": "100000", "OTEL_BSP_SCHEDULE_DELAY": "1000"}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the demo works with.

    Attributes:
        console: Where it is shown.
        servers: The servers it runs on.
        receiver: Where all spans go.
        folder: Where the workers' logs go.
        commands: How many commands the load has.
        processes: How many worker processes there are.
        rng: What generates the commands.
    """

    console: Console
    servers: Servers
    receiver: SpanReceiver
    folder: Path
    commands: int
    processes: int
    rng: random.Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a load left behind.

    Attributes:
        tally: What was sent and answered.
        drains: How the worker processes ended.
        cpu: CPU seconds during the load, by party.
    """

    tally: Tally
    drains: Sequence[Drain]
    cpu: Mapping[str, float]


@app.command()
def demo(
    *,
    commands: Annotated[int, typer.Option(min=1, help="How many commands the load has, without its set-up.")] = 5000,
    processes: Annotated[int, typer.Option(min=1, help="How many worker processes decide them.")] = 2,
    seed: Annotated[int, typer.Option(help="The same seed generates the same commands.")] = 1,
) -> None:
    """Start servers and workers, publish generated library commands, and verify every answer."""
    # As Ctrl-C, which the loop's runner turns into a cancellation: an exception could come up anywhere in the loop.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    quieten_libraries()
    console = Console()
    if not console.is_terminal:
        console = Console(width=_FILE_WIDTH)
    try:
        with telling("demo"), ExitStack() as stack:
            with console.status("Starting PostgreSQL, a replica, and RabbitMQ"):
                provided = stack.enter_context(servers())
            console.print(f"Servers: {provided.origin}. Workers: {processes}. Domain: {library.name}.", highlight=False)
            plan = Plan(
                console=console,
                servers=provided,
                receiver=stack.enter_context(SpanReceiver.listening()),
                folder=Path(stack.enter_context(TemporaryDirectory(prefix="demo-"))),
                commands=commands,
                processes=processes,
                rng=random.Random(seed),  # noqa: S311  a workload, not a secret
            )
            runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
            clean = runner.run(_demo(plan))
    except (StackError, FleetError) as error:
        print(f"demo: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    raise typer.Exit(0 if clean else 1)


async def _demo(plan: Plan) -> bool:
    addresses = plan.servers.addresses
    await migrate(addresses["DATABASE_ADMIN_URL"])
    async with PostgresEventStore.connect(addresses["DATABASE_URL"], application_name="demo") as store:
        if not plan.servers.throwaway:
            await _refuse_used(store)
        ran = await _load(plan)
        spans = Spans.read(plan.receiver.requests)
        with plan.console.status("Replaying the log"):
            verdict = await judge(store, library, ran.tally.commands, ran.tally.replies)
    for complaint in _complaints(ran):
        verdict.violated(complaint)
    _report(plan.console, ran, spans, verdict)
    _tell_traces(plan.console, plan.receiver, spans)
    return verdict.clean


async def _refuse_used(store: PostgresEventStore) -> None:
    async for event in store.read(Filter.matching_any_event(), batch_size=1):
        raise StackError(
            f"The database named by DATABASE_URL holds events already ({event.type} is the first): "
            "the demo judges a whole log, so give it an empty database."
        )


async def _load(plan: Plan) -> Ran:
    if library.workload is None:
        raise StackError("The library domain has no workload.")
    workload = library.workload(plan.rng, plan.commands)
    addresses = plan.servers.addresses
    traced = {
        _ENDPOINT: plan.receiver.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
    }
    telemetry = _telemetry({**traced, **_BATCHES, "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=publisher"})
    environment = {**os.environ, **addresses, **traced, **_BATCHES, "WORKER_DOMAINS": "handlers.library:domain"}
    url = addresses["AMQP_URL"]
    try:
        async with (
            Fleet.running(plan.processes, environment, plan.folder) as fleet,
            Publisher.connect(url, name="demo") as publisher,
            Publisher.connect(url, name="demo copies") as copier,
        ):
            runner = Runner(
                publisher,
                copier,
                library.name,
                outstanding=_OUTSTANDING_PER_PROCESS * plan.processes,
                copied=_COPIED,
                rng=plan.rng,
            )
            async with watching(runner.tally, plan.console):
                await runner.set_up(workload.setup)
                before = _cpu(fleet)
                await runner.load(workload.load, total=plan.commands)
                spent = _cpu(fleet)
            cpu = {party: seconds - before.get(party, 0.0) for party, seconds in spent.items()}
            return Ran(tally=runner.tally, drains=await fleet.drain(), cpu=cpu)
    finally:
        await asyncio.to_thread(telemetry.stop)


def _telemetry(environment: Mapping[str, str]) -> Telemetry:
    """Trace this process, too. The SDK reads the process's own environment."""
    kept = dict(os.environ)
    os.environ.update(environment)
    try:
        return Telemetry.start()
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _cpu(fleet: Fleet) -> dict[str, float]:
    spent: defaultdict[str, float] = defaultdict(float)
    for pid, process in cpu_spent(os.getpid()).items():
        if pid in fleet.pids:
            party = "workers"
        elif pid == os.getpid():
            party = "publisher, span receiver"
        elif process.program == "postgres":
            party = "PostgreSQL, primary and replica"
        elif process.program == "beam.smp":
            party = "RabbitMQ"
        else:
            continue
        spent[party] += process.seconds
    return spent


def _complaints(ran: Ran) -> list[str]:
    """What is wrong beyond the log: deliveries that are unaccounted for, and messages without an answer."""
    tally = ran.tally
    complaints = [complaint for drain in ran.drains if (complaint := drain.complaint()) is not None]
    settled = sum(
        drain.figures.get(end, 0)
        for drain in ran.drains
        for end in ("accepted", "rejected", "unchanged", "duplicate", "dead_lettered")
    )
    if settled != tally.messages:
        complaints.append(f"{tally.messages:,} messages were sent, but the workers settled {settled:,}")
    if tally.unanswered:
        complaints.append(f"{tally.unanswered:,} messages were not answered in time")
    if tally.answered + tally.unanswered < tally.total:
        complaints.append(f"{tally.total:,} commands were to be sent, but only {tally.answered:,} were answered")
    return complaints


def _report(console: Console, ran: Ran, spans: Spans, verdict: Verdict) -> None:
    tally = ran.tally
    for part in (
        outcomes_table(tally),
        figures_table(tally, verdict.attempts, spans),
        cpu_table(ran.cpu, tally.seconds, tally.answered),
        verdict_text(verdict),
    ):
        console.print()
        console.print(part)


def _tell_traces(console: Console, receiver: SpanReceiver, spans: Spans) -> None:
    console.print()
    trace_id = spans.telling_trace()
    if trace_id is None:
        console.print("No trace was recorded: OTEL_TRACES_SAMPLER or OTEL_SDK_DISABLED leave none.")
        return
    console.print(f"One command's trace, {trace_id.hex()}:", highlight=False)
    console.print(trace_tree(spans.trace(trace_id)))
    endpoint = os.environ.get(_ENDPOINT)
    if endpoint is None:
        console.print(
            "To see any other in Jaeger: `docker compose up` brings one with everything else; or start your own, set "
            f"{_ENDPOINT}=http://localhost:4317, and run the demo again.",
            highlight=False,
        )
        return
    try:
        receiver.hand_on(endpoint)
    except OSError as error:
        console.print(f"The traces were not handed on: {error}", highlight=False)
    else:
        console.print(f"All traces were handed on to {endpoint}; look any up there by its id.", highlight=False)


if __name__ == "__main__":
    app()
