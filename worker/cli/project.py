"""``worker project [NAMES…]``."""

import sys
from typing import Annotated

import typer

from worker.cli.loop import run_async
from worker.reading import service
from worker.reading.declared import targets_of
from worker.settings import Settings
from worker.supervision.supervisor import supervise

__all__ = ["project"]

_MOST_PROCESSES = 64


def project(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Which projections, by name; without one, all of WORKER_DOMAINS."),
    ] = None,
    *,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=_MOST_PROCESSES,
            help="How many processes to run, which share the projections; one that crashes is started again. Without "
            "this, one process runs, which nothing starts again.",
        ),
    ] = None,
    control_socket: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Fill the tables of projections from the log, and keep them up to date until SIGTERM or Ctrl-C.

    Any number of processes may run, on any host: one of them projects each projection at a time, and another takes over
    when that ends. What an event stops waits for a person: see `worker projections`.
    """
    settings = Settings.load(needs=("database_url",))
    targets_of(settings, names or ())  # a mistake is told before a process is started
    if processes is not None and control_socket is None:
        raise typer.Exit(run_async(supervise(settings, processes)))
    shown = None
    if control_socket is None and sys.stderr.isatty():
        from worker.cli.project_bar import show  # noqa: PLC0415  only for what is drawn

        shown = show
    raise typer.Exit(run_async(service.run(settings, names or (), control_socket=control_socket, shown=shown)))
