"""``worker console``."""

import sys
from typing import Annotated

import typer

from worker.cli.loop import run_async
from worker.cli.pages import CONSOLE_PORT
from worker.cli.terminal import tell
from worker.failures import Mistake
from worker.settings import Settings

__all__ = ["console"]


def console(
    *,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="The address to listen on. One that other machines can reach needs WORKER_CONSOLE_PASSWORD.",
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any free one.")] = CONSOLE_PORT,
    allow_actions: Annotated[
        bool,
        typer.Option(
            "--allow-actions",
            help="Let pages replay and discard dead letters, cancel scheduled commands, and pause, resume and skip "
            "followers; by default the console is read-only.",
        ),
    ] = False,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            metavar="NAME",
            help="A host name that browsers may use, besides localhost and IP addresses; repeat for more.",
        ),
    ] = None,
) -> None:
    """Serve a page that shows queues, workers, commands, events, followers, scheduled commands, and dead letters.

    It needs the extra `console`. Workers report to it through RabbitMQ; see docs/console.md.
    """
    settings = Settings.load(needs=("amqp_url",))
    try:
        from worker.console import service  # noqa: PLC0415  the packages that it needs may not be installed
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in {"jinja2", "markupsafe", "starlette", "uvicorn"}:
            raise
        raise Mistake(
            f"`worker console` is not installed ({error}): pip install 'dynamic-streams-worker[console]'."
        ) from None

    def listening(address: str) -> None:
        tell(f"The console answers at {address}{'' if allow_actions else ', read-only'}.")
        # The program that waits for this line may read from a pipe.
        sys.stdout.flush()

    raise typer.Exit(
        run_async(
            service.run(
                settings,
                host=host,
                port=port,
                allow_actions=allow_actions,
                names=allowed_host or (),
                listening=listening,
            )
        )
    )
