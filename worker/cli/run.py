"""``worker run``."""

import typer

from worker import service
from worker.cli.loop import run_async
from worker.settings import Settings

__all__ = ["run"]


def run() -> None:
    """Serve the domains of WORKER_DOMAINS until SIGTERM or Ctrl-C, then finish what has started.

    A second signal stops at once. Exit status 0 after a complete drain, 1 when commands were left to the broker.
    """
    raise typer.Exit(run_async(service.run(Settings.load())))
