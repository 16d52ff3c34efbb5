"""``worker project | react | relay [NAMES…]``, and ``worker follow``."""

import sys
from typing import Annotated

import typer

from worker import leased_service
from worker.cli.loop import run_async
from worker.cli.options import ControlSocket
from worker.reading.declared import EVERY_KIND, PROJECTION, REACTION, RELAY, targets_of
from worker.reading.service import RunRequest, opened
from worker.settings import Settings
from worker.supervision.supervisor import supervise

__all__ = ["follow", "project", "react", "relay"]

_MOST_PROCESSES = 64

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME", help="Names to run; by default all of WORKER_DOMAINS."),
]
Processes = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=_MOST_PROCESSES,
        help="How many processes share the work; one that crashes is started again. By default one runs, and is not "
        "restarted if it crashes.",
    ),
]


def project(names: Names = None, *, processes: Processes = None, control_socket: ControlSocket = None) -> None:
    """Fill the tables of projections from the log, and keep them up to date until SIGTERM or Ctrl-C.

    Any number of processes may run, on any host: one of them runs each projection at a time, and another takes over
    when that one ends. A projection that an event has stopped waits for a person: see `worker projections`.
    """
    wanted = RunRequest(names=tuple(names or ()), kinds=(PROJECTION,), command="worker project", doing="projecting")
    _run(wanted, processes, control_socket)


def react(names: Names = None, *, processes: Processes = None, control_socket: ControlSocket = None) -> None:
    """Send the commands that reactions make from events, until SIGTERM or Ctrl-C.

    Any number of processes may run, as with `worker project`. A stopped reaction waits for a person: see `worker
    reactions`.
    """
    wanted = RunRequest(names=tuple(names or ()), kinds=(REACTION,), command="worker react", doing="reacting")
    _run(wanted, processes, control_socket)


def relay(names: Names = None, *, processes: Processes = None, control_socket: ControlSocket = None) -> None:
    """Publish the events of relays to the exchange of their domain, in order, until SIGTERM or Ctrl-C.

    Any number of processes may run, as with `worker project`. A stopped relay waits for a person: see `worker
    relays`.
    """
    wanted = RunRequest(names=tuple(names or ()), kinds=(RELAY,), command="worker relay", doing="relaying")
    _run(wanted, processes, control_socket)


def follow(*, processes: Processes = None, control_socket: ControlSocket = None) -> None:
    """Run all projections, reactions, relays and schedules of WORKER_DOMAINS in one process, until SIGTERM or Ctrl-C.

    It may run beside the workers of any domains: domains without followers get their schedule only.
    """
    wanted = RunRequest(kinds=EVERY_KIND, command="worker follow", doing="following", schedules=True)
    _run(wanted, processes, control_socket)


def _run(wanted: RunRequest, processes: int | None, control_socket: int | None) -> None:
    settings = Settings.load(needs=("database_url", "amqp_url") if wanted.schedules else ("database_url",))
    # A mistake is reported before a process is started.
    targets_of(settings, wanted.names, kinds=wanted.kinds, may_be_none=wanted.schedules)
    if processes is not None and control_socket is None:
        raise typer.Exit(run_async(supervise(settings, processes)))
    shown = None
    if control_socket is None and sys.stderr.isatty():
        from worker.cli.follow_bar import show  # noqa: PLC0415  only when bars are drawn

        shown = show
    raise typer.Exit(
        run_async(leased_service.run(settings, opened(settings, wanted), control_socket=control_socket, shown=shown))
    )
