"""The application: every command under its name, and one way to fail."""

import sys
from pathlib import Path

import typer

from worker.amqp.codec import install_lenient_codec
from worker.cli.check import check, check_database
from worker.cli.config import config
from worker.cli.dead_letters.commands import dead_letters
from worker.cli.events import events
from worker.cli.failures import telling
from worker.cli.health import health
from worker.cli.load import load
from worker.cli.migrate import migrate
from worker.cli.prune import prune
from worker.cli.publish import publish
from worker.cli.run import run
from worker.cli.states import states
from worker.cli.stats import stats
from worker.cli.status import status
from worker.cli.topology import topology
from worker.cli.view import view
from worker.telemetry.logs import quieten_libraries

__all__ = ["app", "main"]

app = typer.Typer(
    name="worker",
    help="Decide commands from RabbitMQ against an event store on PostgreSQL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
database = typer.Typer(help="The event store's database.", no_args_is_help=True)

app.command()(run)
app.command()(publish)
app.command()(status)
# A key may be a negative number.
app.command(context_settings={"ignore_unknown_options": True})(view)
app.command()(events)
app.command()(check)
app.command()(health)
app.command()(config)
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(load, name="load")
app.add_typer(topology, name="topology")
app.add_typer(database, name="db")
database.command()(migrate)
database.command()(prune)
database.command("check")(check_database)
database.command()(stats)
database.add_typer(states, name="states")


def main() -> None:
    """Run the command line, and exit.

    Exit status: 0 done; 1 done, but the answer is a bad one, as each command's help says; 2 a mistake in the call,
    the settings or the surroundings, told in one sentence on standard error; 130 interrupted by Ctrl-C.
    """
    _look_in_current_folder()
    quieten_libraries()
    install_lenient_codec()
    with telling("worker"):
        app()


def _look_in_current_folder() -> None:
    """Let a domain be tried without installing its package.

    The script ``worker`` does not look for modules where it is called, though ``python -m worker`` does. Who has told
    Python not to (``-P``, ``PYTHONSAFEPATH``) is heeded.
    """
    folder = str(Path.cwd())
    if not sys.flags.safe_path and folder not in sys.path:
        sys.path.insert(0, folder)
