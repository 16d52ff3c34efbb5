"""``worker health``."""

from typing import Annotated

import typer

from worker.failures import Mistake
from worker.settings import Settings
from worker.supervision.probe import ask

__all__ = ["health"]


def health(
    *, ready: Annotated[bool, typer.Option("--ready/--live", help="Whether to ask if it is ready or live.")] = False
) -> None:
    """Ask the worker on this machine whether it is live or ready, and print the reason. For probes that run a command.

    Exit status 0 when it is, 1 when it is not or does not answer.
    """
    settings = Settings.load(needs=())
    if settings.worker_health_port is None:
        raise Mistake("WORKER_HEALTH_PORT is not set; set it to a port, for the worker and for this command.")
    good, reason = ask(settings.worker_health_host, settings.worker_health_port, ready=ready)
    print(reason)  # noqa: T201  plain, for a log
    raise typer.Exit(0 if good else 1)
