"""``worker load run``."""

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from shutil import rmtree
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from eventstore.counted import counted
from eventstore.postgres import PostgresEventStore
from handlers.domain import Domain
from handlers.erasure.master_key import MasterKeys
from handlers.scenario import Scenario
from worker.amqp.backlog import backlog
from worker.cli.exporting import exporting
from worker.cli.loop import run_async
from worker.cli.target import check_writable, save
from worker.cli.terminal import print_json
from worker.domain_variables import setting_of, suffix_of
from worker.failures import Mistake
from worker.load import session
from worker.load.outage import PlannedOutage
from worker.load.page import page
from worker.load.report import report as drawn
from worker.load.runner import Pace
from worker.load.session import LoadStore, Plan, StartedWorkers
from worker.load.summary import Summary
from worker.master_keys import check_master_keys, master_keys
from worker.owners import named, owner_of
from worker.served_domains import served_domains
from worker.settings import Settings
from worker.stores import StoreSettings, stores_of
from worker.topology import Topology

__all__ = ["run"]

_STDOUT = "-"
_COMMANDS = 5000
# The most commands a second that are generated for a closed load that ends by time: no publisher sends more.
_MOST_PER_SECOND = 2000
# Lines in a file may be longer than on a narrow terminal.
_FILE_WIDTH = 120


def run(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="Its name; `worker load list` lists them.")],
    *,
    domain: Annotated[
        str | None, typer.Option(help="The scenario's domain; by default found by the scenario's name.")
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Set a parameter of the scenario; repeat for more."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed generates the same commands.")] = 1,
    commands: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"How many commands the load has, without its set-up; by default {_COMMANDS}, without --duration.",
        ),
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="SECONDS", help="How long to send commands; those under way are waited for."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            metavar="PER_SECOND",
            help="Open load: send this many commands a second, whether or not they are answered.",
        ),
    ] = None,
    in_flight: Annotated[
        int | None,
        typer.Option(
            min=1, help="Closed load: how many commands are under way; by default what the workers take at a time."
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How long to wait for each answer.")
    ] = 60.0,
    start_workers: Annotated[
        int, typer.Option(min=0, max=64, help="How many worker processes to start; 0 uses those that run already.")
    ] = 0,
    kill_every: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="SECONDS", help="How often to kill a started worker and start another."),
    ] = None,
    json: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="Write the figures as JSON; - writes to standard output."),
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write an HTML page with charts.")] = None,
) -> None:
    """Publish a scenario's commands, wait for every answer, and verify them by a replay of the log.

    Other publishers of the domain must be stopped meanwhile: each command of theirs counts as a violation. Those of the
    domain's own reactions do not. Exit status 1 when there is a violation.
    """
    settings = Settings.load(needs=("database_url", "amqp_url", "worker_domains"))
    served = served_domains(settings)
    check_master_keys(settings, served)
    owner, kind = _found(named(served, domain), scenario)
    beside = _beside(served, kind)
    made = kind.configured(_values(parameters or []))
    if rate is not None and in_flight is not None:
        raise Mistake("--rate is open load and --in-flight is closed load; choose one of them.")
    if kill_every is not None and not start_workers:
        raise Mistake("--kill-every kills workers that this run has started; pass --start-workers N as well.")
    figures = None if json in {None, _STDOUT} else Path(json)
    for target in filter(None, [figures, report]):
        check_writable(target)
    stores = stores_of(settings, [each.name for each in served])
    outage = _outage(made, stores, start_workers=start_workers)
    consumers = run_async(_consumers(settings, (owner, *beside), start_workers=start_workers))
    with exporting():
        folder = Path(tempfile.mkdtemp(prefix="worker-load-"))
        started = StartedWorkers(
            workers=start_workers, environment=dict(os.environ), folder=folder, kill_every=kill_every, outage=outage
        )
        plan = Plan(
            domain=owner,
            beside=beside,
            scenario=made,
            seed=seed,
            commands=commands or _as_many_as(duration, rate),
            pace=Pace(in_flight=in_flight or settings.prefetch * consumers, rate=rate, duration=duration),
            timeout=timeout,
            amqp_url=settings.amqp_url,
            started=started if start_workers else None,
        )
        try:
            summary = run_async(_performed(plan, stores, _console(stderr=True), master_keys(settings)))
        except BaseException as error:
            # On Ctrl-C the logs are not needed; after any other error, they may explain it.
            _put_away(folder, wanted=isinstance(error, Exception))
            raise
    _put_away(folder, wanted=summary.violations > 0)
    try:
        _show(summary, json=json == _STDOUT)
    finally:
        # Also if printing has failed: the figures cannot be measured again.
        _save(summary, kind.stresses, figures=figures, report=report)
    if summary.violations:
        raise typer.Exit(1)


def _found(domains: Sequence[Domain], name: str) -> tuple[Domain, type[Scenario]]:
    """Return a scenario and its domain by the scenario's name, in which ``_`` may stand for ``-``."""
    wanted = name.replace("_", "-")
    owner = owner_of("scenario", wanted, domains, lambda domain: [kind.name for kind in domain.scenarios])
    return owner, next(kind for kind in owner.scenarios if kind.name == wanted)


def _beside(domains: Sequence[Domain], kind: type[Scenario]) -> tuple[Domain, ...]:
    """Return the other domains that a scenario sends commands to."""
    named = {domain.name: domain for domain in domains}
    if missing := [name for name in kind.beside if name not in named]:
        raise Mistake(
            f"{kind.name} also has commands of {', '.join(missing)}; add where that is to WORKER_DOMAINS, "
            "as module:attribute."
        )
    return tuple(named[name] for name in kind.beside)


def _as_many_as(duration: float | None, rate: float | None) -> int:
    """Return how many commands to generate if only time ends the load."""
    return _COMMANDS if duration is None else math.ceil(duration * (rate or _MOST_PER_SECOND))


def _values(texts: Sequence[str]) -> Mapping[str, str]:
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise Mistake(f"{text!r} sets nothing; write --set NAME=VALUE, as in --set readers=100.")
        values[name.strip()] = value.strip()
    return values


async def _consumers(settings: Settings, domains: Sequence[Domain], *, start_workers: int) -> int:
    """Return how many consumers the domains' commands will have."""
    consumers = 0
    for domain in domains:
        found = await backlog(settings.amqp_url, Topology.of(domain))
        serving = 0 if found is None else found.consumers
        if start_workers and serving:
            raise Mistake(
                f"{counted(serving, 'worker serves', 'workers serve')} {domain.name} already, and would take part; "
                f"stop {'it' if serving == 1 else 'them'}, or leave out --start-workers."
            )
        if not start_workers and not serving:
            raise Mistake(f"no worker serves {domain.name}; start one with `worker run`, or pass --start-workers 2.")
        consumers += start_workers or serving
    return consumers


def _outage(made: Scenario, stores: Sequence[StoreSettings], *, start_workers: int) -> PlannedOutage | None:
    """Return the store that the workers are to lose at intervals; None if there is none, or none can be lost.

    If the scenario wants an outage that is not possible, a message says so.

    Raises:
        SettingsError: An outage is possible, but not with this address.
    """
    if (wanted := made.outage()) is None:
        return None
    (store,) = [each for each in stores if wanted.domain in each.domains]
    if store.domains == (wanted.domain,) and start_workers:
        return PlannedOutage(
            domain=wanted.domain,
            url=store.database_url,
            replica_urls=store.database_replica_urls,
            up=wanted.up,
            down=wanted.down,
        )
    variable = setting_of("database_url", suffix_of(wanted.domain)).upper()
    missing = (
        "with --start-workers" if not start_workers else f"when {wanted.domain} has a store of its own: {variable}"
    )
    typer.echo(f"This run has no outages of the store: they are possible {missing}.", err=True)
    return None


async def _performed(
    plan: Plan, addresses: Sequence[StoreSettings], console: Console, master: MasterKeys | None
) -> Summary:
    async with AsyncExitStack() as stack:
        stores = []
        for each in addresses:
            if domains := tuple(domain for domain in plan.domains if domain.name in each.domains):
                opening = PostgresEventStore.connect(
                    each.database_url,
                    driver=each.database_driver,
                    schema=each.database_schema,
                    application_name="worker load",
                )
                stores.append(LoadStore(store=await stack.enter_async_context(opening), domains=domains))
        ran = await session.perform(plan, stores, console)
        columns = (TextColumn("replaying the log"), BarColumn(), MofNCompleteColumn(), TextColumn("events"))
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("", total=max([await session.head_of(each.store) for each in stores]))
            verdict = await session.judged(
                ran, stores, lambda number: bar.update(task, completed=number), master=master
            )
    return Summary.of(plan, ran, verdict)


def _put_away(folder: Path, *, wanted: bool) -> None:
    """Remove the folder of the workers' logs; or keep it if it has any and they are wanted, and print where it is."""
    if wanted and any(folder.iterdir()):
        typer.echo(f"The workers' logs are kept in {folder}.", err=True)
    else:
        rmtree(folder)


def _show(summary: Summary, *, json: bool) -> None:
    """Print a run for people; on standard error if standard output is for programs."""
    if json:
        print_json(summary.model_dump(mode="json"))
    console = _console(stderr=json)
    for part in drawn(summary):
        console.print()
        console.print(part)


def _save(summary: Summary, stresses: str, *, figures: Path | None, report: Path | None) -> None:
    """Write the files that are wanted. If one cannot be written, the other is tried nevertheless."""
    try:
        if figures is not None:
            text = msgspec.json.format(summary.model_dump_json(), indent=2)
            save(figures, f"{text}\n")
    finally:
        if report is not None:
            save(report, page(summary, stresses))


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=_FILE_WIDTH)
