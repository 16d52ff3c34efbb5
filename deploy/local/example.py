"""``make example``: a program around the product, with all that it needs, until Ctrl-C.

Servers, a worker, a process that fills the tables of the read models, and the shelves of a library in a browser
(``examples/library_web``), with a few books and readers in them.
"""

import asyncio
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from deploy.local.errors import StackError
from deploy.local.servers import Servers, servers
from eventstore import Position
from eventstore.postgres import migrate
from examples.library_web.library_web.__main__ import run
from examples.library_web.library_web.connections import Library, opened
from examples.library_web.library_web.sample import fill
from examples.library_web.library_web.server import AddressTaken, listen
from examples.library_web.library_web.settings import NAMES, Settings
from worker.domain_variables import own_variables
from worker.failures import telling
from worker.load.fleet import Fleet
from worker.telemetry.library_loggers import quieten_libraries

_DOMAIN = "handlers.library:domain"
_PARENT_CHECK_SECONDS = 0.5
_PROJECTED_SECONDS = 120.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def example(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any free one.")] = 8000,
    processes: Annotated[int, typer.Option(min=1, help="How many worker processes decide commands.")] = 1,
) -> None:
    """Start servers, workers, projections and a web program, and print its address; stop all of it at Ctrl-C."""
    parent = os.getppid()
    # As Ctrl-C, which the loop's runner turns into a cancellation: an exception could come up anywhere in the loop.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    quieten_libraries()
    console = Console(highlight=False, soft_wrap=True)
    try:
        with telling("example"), ExitStack() as stack:
            listening = stack.enter_context(listen(host, port))
            with console.status("Starting PostgreSQL, a replica, and RabbitMQ"):
                found = stack.enter_context(servers())
            console.print(f"Servers: {found.origin}.")
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="example-")))
            runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
            runner.run(
                _example(
                    console,
                    found,
                    parent=parent,
                    folder=folder,
                    processes=processes,
                    settings=_settings(found, host),
                    listening=listening,
                )
            )
    except (StackError, AddressTaken) as error:
        print(f"example: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    console.print("Stopped.")


async def _example(
    console: Console,
    found: Servers,
    *,
    parent: int,
    folder: Path,
    processes: int,
    settings: Settings,
    listening: socket,
) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in own_variables(os.environ)}
    environment = {**kept, **found.addresses, "WORKER_DOMAINS": _DOMAIN}
    watching = asyncio.create_task(_end_with(parent))
    await migrate(found.addresses["DATABASE_ADMIN_URL"])
    async with (
        Fleet.running(processes, environment, folder),
        Fleet.running(1, environment, folder, command="project"),
    ):
        async with opened(settings) as library:
            end = await fill(library.commands)
            await _shows(library, end)

        def started(address: str) -> None:
            console.print(f"Workers: {processes}, and a process that projects. Their logs: {folder}")
            console.print(f"The library is open: {address} (stop it with Ctrl-C)")

        await run(settings, listening, started=started, log_level="warning")
    watching.cancel()


async def _shows(library: Library, end: Position | None) -> None:
    """Wait until the tables of the read models have all that was recorded."""
    try:
        async with asyncio.timeout(_PROJECTED_SECONDS):
            while not (await library.shelves.shelves(search="", reader_id="", seen=end)).is_current:
                pass  # it has waited for some seconds
    except TimeoutError:
        raise StackError(f"no process has projected the sample books within {_PROJECTED_SECONDS:.0f} s") from None


def _settings(found: Servers, host: str) -> Settings:
    return Settings(
        database_url=found.addresses["DATABASE_URL"],
        replica_urls=tuple(url for url in found.addresses.get("DATABASE_REPLICA_URLS", "").split(",") if url),
        amqp_url=found.addresses["AMQP_URL"],
        names=(*NAMES, host),
    )


async def _end_with(parent: int) -> None:
    """Have a parent that ends, in whatever way, end this process as SIGTERM does."""
    while os.getppid() == parent:  # noqa: ASYNC110  the system tells of a parent's end in no other way everywhere
        await asyncio.sleep(_PARENT_CHECK_SECONDS)
    signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    app()
