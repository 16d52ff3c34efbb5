"""The demo: real commands through the whole line, and a verdict on every answer.

``make demo COMMANDS=20000 PROCESSES=2``. Exit status 0 only if nothing is wrong.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
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
from handlers.library.scenarios.mixed import Mixed
from worker.domain_variables import own_variables
from worker.failures import telling
from worker.load import session
from worker.load.report import report
from worker.load.runner import Pace
from worker.load.session import LoadStore, Plan, StartedWorkers
from worker.load.summary import Summary
from worker.load.traces.receiver import SpanReceiver
from worker.load.traces.spans import Spans
from worker.load.traces.tree import trace_tree
from worker.settings import Settings
from worker.telemetry.library_loggers import quieten_libraries
from worker.telemetry.providers import Telemetry

# Lines in a file need not be as short as on a narrow terminal.
_FILE_WIDTH = 120
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
# Exporters drop spans when their queue is full, and then a trace would have holes.
_BATCHES = {"OTEL_BSP_MAX_QUEUE_SIZE": "100000", "OTEL_BSP_SCHEDULE_DELAY": "1000"}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What the demo works with.

    Attributes:
        console: Where it is shown.
        servers: The servers it runs on.
        receiver: Where all spans go.
        folder: Where the workers' logs go.
        commands: How many commands the load has.
        processes: How many worker processes there are.
        in_flight: How many commands are under way at a time.
        seed: What the commands are generated from.
    """

    console: Console
    servers: Servers
    receiver: SpanReceiver
    folder: Path
    commands: int
    processes: int
    in_flight: int
    seed: int


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
            settings = Settings.load(needs=())
            with console.status("Starting PostgreSQL, a replica, and RabbitMQ"):
                provided = stack.enter_context(servers())
            console.print(f"Servers: {provided.origin}. Workers: {processes}. Domain: {library.name}.", highlight=False)
            made = Demo(
                console=console,
                servers=provided,
                receiver=stack.enter_context(SpanReceiver.listening()),
                folder=Path(stack.enter_context(TemporaryDirectory(prefix="demo-"))),
                commands=commands,
                processes=processes,
                # As many as they take from their queue, so that none of them waits for us.
                in_flight=settings.prefetch * processes,
                seed=seed,
            )
            runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
            clean = runner.run(_demo(made))
    except StackError as error:
        print(f"demo: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    raise typer.Exit(0 if clean else 1)


async def _demo(demo: Demo) -> bool:
    console, addresses = demo.console, demo.servers.addresses
    await migrate(addresses["DATABASE_ADMIN_URL"])
    async with PostgresEventStore.connect(addresses["DATABASE_URL"], application_name="demo") as store:
        if not demo.servers.throwaway:
            await _refuse_used(store)
        traced = {
            _ENDPOINT: demo.receiver.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "none",
            **_BATCHES,
        }
        plan = Plan(
            domain=library,
            scenario=Mixed(),
            seed=demo.seed,
            commands=demo.commands,
            pace=Pace(in_flight=demo.in_flight),
            amqp_url=addresses["AMQP_URL"],
            started=StartedWorkers(
                workers=demo.processes,
                environment={**_environment(), **addresses, **traced, "WORKER_DOMAINS": "handlers.library:domain"},
                folder=demo.folder,
            ),
        )
        stores = [LoadStore(store=store, domains=plan.domains)]
        telemetry = _telemetry({**traced, "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=publisher"})
        try:
            ran = await session.perform(plan, stores, console)
        finally:
            await asyncio.to_thread(telemetry.stop)
        spans = Spans.read(demo.receiver.requests)
        with console.status("Replaying the log"):
            verdict = await session.judged(ran, stores)
    for part in report(Summary.of(plan, ran, verdict), spans):
        console.print()
        console.print(part)
    _tell_traces(console, demo.receiver, spans)
    return verdict.clean


def _environment() -> dict[str, str]:
    """Return this process's environment; the demo has one database, whatever is set for single domains."""
    return {name: value for name, value in os.environ.items() if name not in own_variables(os.environ)}


async def _refuse_used(store: PostgresEventStore) -> None:
    async for event in store.read(Filter.matching_any_event(), batch_size=1):
        raise StackError(
            f"The database named by DATABASE_URL holds events already ({event.type} is the first): "
            "the demo judges a whole log, so give it an empty database."
        )


def _telemetry(environment: Mapping[str, str]) -> Telemetry:
    """Trace this process, too. The SDK reads the process's own environment."""
    kept = dict(os.environ)
    os.environ.update(environment)
    try:
        return Telemetry.start()
    finally:
        os.environ.clear()
        os.environ.update(kept)


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
