"""``worker health``."""

import json
from http.client import HTTPConnection, HTTPException
from typing import Annotated

import typer

from worker.cli.failures import Mistake
from worker.settings import Settings
from worker.supervision.health_server import LIVE_PATH, READY_PATH

__all__ = ["health"]

_SECONDS = 5.0
# Who listens on all addresses listens on the loopback one, too.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  nothing is bound here


def health(*, ready: Annotated[bool, typer.Option("--ready/--live", help="What to ask for.")] = False) -> None:
    """Ask the worker that runs here whether it is live (or ready), and why. For probes that run a command.

    Exit status 0 when it is so, 1 when it is not or when nobody answers.
    """
    settings = Settings.load(needs=())
    if settings.worker_health_port is None:
        raise Mistake("WORKER_HEALTH_PORT is not set; set it to a port, for the worker and for this command.")
    host, port = settings.worker_health_host, settings.worker_health_port
    connection = HTTPConnection(_LOOPBACK.get(host, host), port, timeout=_SECONDS)
    try:
        connection.request("GET", READY_PATH if ready else LIVE_PATH)
        response = connection.getresponse()
        reason = str(json.loads(response.read())["reason"])
    except OSError as error:
        print(f"no worker answers on {host}, port {port}: {error.strerror or error}")  # noqa: T201  plain, for a log
        raise typer.Exit(1) from None
    except (HTTPException, ValueError, KeyError, TypeError):
        print(f"something else than a worker answers on {host}, port {port}")  # noqa: T201  the same
        raise typer.Exit(1) from None
    finally:
        connection.close()
    print(reason)  # noqa: T201  the same
    raise typer.Exit(0 if response.status == 200 else 1)  # noqa: PLR2004  HTTP's own number
