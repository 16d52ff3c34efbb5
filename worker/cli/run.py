"""``worker run``."""

from typing import Annotated

import typer

from worker.cli.loop import run_async
from worker.cli.options import ControlSocket
from worker.settings import Settings
from worker.supervision.supervisor import supervise

__all__ = ["run"]

_MOST_PROCESSES = 1024


def run(
    *,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=_MOST_PROCESSES,
            help="How many worker processes to run; one that crashes is started again. By default one process runs, "
            "and is not restarted if it crashes.",
        ),
    ] = None,
    control_socket: ControlSocket = None,
) -> None:
    """Serve the domains of WORKER_DOMAINS until SIGTERM or Ctrl-C, then finish what has started.

    A second signal stops at once.

    Exit status 0 after a complete drain, 1 when commands were returned to the broker or a process ended repeatedly.
    """
    settings = Settings.load(needs=("database_url", "amqp_url", "worker_domains"))
    if processes is not None and control_socket is None:
        raise typer.Exit(run_async(supervise(settings, processes)))
    from worker import process  # noqa: PLC0415  a supervisor needs little of it

    raise typer.Exit(run_async(process.run(settings, processes=processes or 1, control_socket=control_socket)))
