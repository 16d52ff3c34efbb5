"""``make load SCENARIO=hot-book``: a load scenario with servers and workers of its own."""

import asyncio
import os
import signal
import sys
from contextlib import ExitStack

from rich.console import Console

from deploy.local.errors import StackError
from deploy.local.servers import servers
from eventstore.postgres import migrate
from worker.cli.app import app
from worker.cli.failures import telling
from worker.telemetry.library_loggers import quieten_libraries

_WORKERS = "2"
_DOMAINS = "handlers.library:domain,handlers.warehouse:domain"


def main(arguments: list[str]) -> None:
    """Bring servers, run ``worker load run`` on them with two workers, and exit as it does.

    Servers that environment variables name are used, and migrated; a local stack vanishes with all that was in it. The
    domains are those of WORKER_DOMAINS, or else all that come with the program.

    Args:
        arguments: Those of ``worker load run``; its ``--start-workers`` overrides the two.
    """
    # As Ctrl-C, which the loop's runner turns into a cancellation: an exception could come up anywhere in the loop.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    quieten_libraries()
    console = Console(stderr=True, highlight=False)
    try:
        with telling("load"), ExitStack() as stack:
            with console.status("Starting PostgreSQL, a replica, and RabbitMQ"):
                found = stack.enter_context(servers())
            console.print(f"Servers: {found.origin}.")
            os.environ.update(found.environment())
            os.environ.setdefault("WORKER_DOMAINS", _DOMAINS)
            asyncio.run(migrate(found.addresses["DATABASE_ADMIN_URL"]))
            app(["load", "run", "--start-workers", _WORKERS, *arguments], prog_name="worker")
    except StackError as error:
        print(f"load: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main(sys.argv[1:])
