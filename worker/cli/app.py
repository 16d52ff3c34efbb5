"""The application: all commands by name."""

from typing import Annotated

import typer

from worker import __version__
from worker.cli.group import Entry, group

__all__ = ["COMMANDS", "app"]

_TRIED_AGAIN = "continue after a pause, or retry the event that stopped it"


def _followers(kind: str, *, resumed: str) -> tuple[Entry, ...]:
    """Return the commands for followers of one kind.

    Args:
        kind: The kind of followers.
        resumed: The help text about resuming one.
    """
    commands = f"worker.cli.followers:{kind}s"
    return (
        Entry(
            name="list",
            target=f"{commands}.list_all",
            help=f"List the {kind}s: the position of each, its lag, and the error that stops it. Exit status 1 when "
            "one is stopped.",
        ),
        Entry(
            name="status",
            target=f"{commands}.status",
            help=f"Show everything about a {kind}: its position, the event and error that stop it, and the skipped "
            "events.",
        ),
        Entry(
            name="skip",
            target=f"{commands}.skip_event",
            help=f"Skip the event that stops a {kind}, which then continues after it. The user and the reason are "
            "recorded.",
        ),
        Entry(
            name="pause",
            target=f"{commands}.pause_one",
            help=f"Pause a {kind} in every process, until it is resumed.",
        ),
        Entry(name="resume", target=f"{commands}.resume_one", help=f"Resume a {kind}: {resumed}"),
    )


COMMANDS = {
    "": (
        Entry(
            name="new",
            target="worker.cli.new:new",
            help="Make a folder to start from: a package with a domain, its test, a Compose file with the servers, and "
            "settings.",
        ),
        Entry(
            name="check",
            target="worker.cli.check:check",
            help="Check the settings, the databases and the broker, and say how to correct what is wrong. Exit "
            "status 2 when a worker could not run as it should.",
        ),
        Entry(
            name="run",
            target="worker.cli.run:run",
            help="Serve the domains of WORKER_DOMAINS until SIGTERM or Ctrl-C, then finish what has started.",
        ),
        Entry(
            name="publish",
            target="worker.cli.publish:publish",
            help="Publish a command, or a file of commands. All are checked first: if one is wrong, none is published.",
        ),
        Entry(
            name="status",
            target="worker.cli.status:status",
            help="Show the result of a command: its outcome, its events, and its trace.",
        ),
        Entry(
            name="view",
            target="worker.cli.view:view",
            help="Show the current state of a view at a key, folded from the events.",
            # A key may be a negative number.
            any_option=True,
        ),
        Entry(
            name="events",
            target="worker.cli.events:events",
            help="Show events, oldest first: the last that match, or the first that match above a number.",
        ),
        Entry(
            name="console",
            target="worker.cli.console:console",
            help="Serve a page that shows queues, workers, commands, events, followers, scheduled commands, and dead "
            "letters.",
        ),
        Entry(
            name="follow",
            target="worker.cli.follow:follow",
            help="Run all projections, reactions, relays and schedules of WORKER_DOMAINS in one process, until SIGTERM "
            "or Ctrl-C.",
        ),
        Entry(
            name="project",
            target="worker.cli.follow:project",
            help="Fill the tables of projections from the log, and keep them up to date until SIGTERM or Ctrl-C.",
        ),
        Entry(
            name="react",
            target="worker.cli.follow:react",
            help="Send the commands that reactions make from events, until SIGTERM or Ctrl-C.",
        ),
        Entry(
            name="relay",
            target="worker.cli.follow:relay",
            help="Publish the events of relays to their domain's exchange, in order, until SIGTERM or Ctrl-C.",
        ),
        Entry(
            name="health",
            target="worker.cli.health:health",
            help="Ask the worker on this machine whether it is live or ready, and print the reason. For probes that "
            "run a command.",
        ),
        Entry(
            name="config",
            target="worker.cli.config:config",
            help="Print every setting: its value without secrets, unit, origin and meaning.",
        ),
    ),
    "events": (
        Entry(
            name="check",
            target="worker.cli.events_check:check",
            help="Show which events the domains of WORKER_DOMAINS cannot read. Exit status 1 when there are any.",
        ),
    ),
    "dead-letters": (
        Entry(
            name="list",
            target="worker.cli.dead_letters.commands:list_letters",
            help="List dead letters, the newest last, and count them by reason. Listing removes none and keeps their "
            "order.",
        ),
        Entry(
            name="show",
            target="worker.cli.dead_letters.commands:show",
            help="Show everything about a dead letter: why and when it died, its headers, its body. It stays in place.",
        ),
        Entry(
            name="replay",
            target="worker.cli.dead_letters.commands:replay",
            help="Send dead letters to their queue again, with their id, trace and reply queue; more than one after "
            "asking.",
        ),
        Entry(
            name="discard",
            target="worker.cli.dead_letters.commands:discard",
            help="Remove dead letters for good, after asking.",
        ),
    ),
    "projections": (
        *_followers("projection", resumed=f"{_TRIED_AGAIN}."),
        Entry(
            name="rebuild",
            target="worker.cli.projections:rebuild",
            help="Rebuild a projection's tables from the log, beside the tables in use, and then replace these.",
        ),
    ),
    "schedule": (
        Entry(
            name="run",
            target="worker.cli.schedule:run",
            help="Store scheduled commands and send each when it is due, until SIGTERM or Ctrl-C.",
        ),
        Entry(
            name="list",
            target="worker.cli.schedule:list_all",
            help="List the commands that wait to be sent, the next one first.",
        ),
        Entry(
            name="cancel",
            target="worker.cli.schedule:cancel",
            help="Cancel a scheduled command, also while its message still waits in its queue.",
        ),
    ),
    "reactions": _followers("reaction", resumed=f"{_TRIED_AGAIN}, or continue from another event."),
    "relays": _followers("relay", resumed=f"{_TRIED_AGAIN}, or continue from another event."),
    "load": (
        Entry(
            name="run",
            target="worker.cli.load_run:run",
            help="Publish a scenario's commands, wait for every answer, and verify them by a replay of the log.",
        ),
        Entry(
            name="list",
            target="worker.cli.load:list_scenarios",
            help="List the scenarios of the domains of WORKER_DOMAINS: what each stresses, and its parameters.",
        ),
        Entry(
            name="compare",
            target="worker.cli.load:compare",
            help="Compare two load runs. Differences in their settings come first.",
        ),
    ),
    "topology": (
        Entry(
            name="declare",
            target="worker.cli.topology:declare",
            help="Declare the exchanges and queues of the domains that WORKER_DOMAINS names, as a user that may "
            "configure them.",
        ),
    ),
    "db": (
        Entry(
            name="migrate",
            target="worker.cli.migrate:migrate",
            help="Bring the database of DATABASE_ADMIN_URL to this program's schema version. Running it again changes "
            "nothing.",
        ),
        Entry(
            name="prune",
            target="worker.cli.prune:prune",
            help="Delete old receipts from the database of DATABASE_ADMIN_URL, in batches, after asking. Events are "
            "never deleted.",
        ),
        Entry(
            name="forget",
            target="worker.cli.forget:forget",
            help="Forget a person in the database of DATABASE_ADMIN_URL, after asking: their Sensitive fields become "
            "unreadable.",
        ),
        Entry(
            name="import",
            target="worker.cli.importing:import_file",
            help="Import a file of events into the database of DATABASE_ADMIN_URL, after the events that it has.",
        ),
        Entry(
            name="adopt",
            target="worker.cli.adoption:adopt",
            help="Take over another store's table of events as the beginning of the log in the database of "
            "DATABASE_ADMIN_URL.",
        ),
        Entry(
            name="archive",
            target="worker.cli.archive:archive",
            help="Move whole old partitions of the log in the database of DATABASE_ADMIN_URL into Parquet files, after "
            "asking.",
        ),
        Entry(
            name="restore-archive",
            target="worker.cli.archive:restore_archive",
            help="Put archived events back into the log in the database of DATABASE_ADMIN_URL, while workers run.",
        ),
        Entry(
            name="check",
            target="worker.cli.check:check_database",
            help="Show what is wrong with the database or soon will be, and how to correct it. Exit status 2 when "
            "something is wrong.",
        ),
        Entry(
            name="stats",
            target="worker.cli.stats:stats",
            help="Show the database's figures: sizes, rows, use of indexes, connections, lag, and slow statements.",
        ),
    ),
    "db states": (
        Entry(
            name="list",
            target="worker.cli.states:list_all",
            help="List the stored states in the database of DATABASE_ADMIN_URL, by domain, view and version. Changes "
            "nothing.",
        ),
        Entry(
            name="drop",
            target="worker.cli.states:drop",
            help="Drop stored states from the database of DATABASE_ADMIN_URL, after asking.",
        ),
    ),
}
"""The commands, by their group."""


def _added(to: typer.Typer, name: str, *, help: str) -> typer.Typer:  # noqa: A002  Typer's own name
    """Add a group to another group, and return it."""
    made = group(COMMANDS[name], help=help)
    to.add_typer(made, name=name.rpartition(" ")[2], short_help=help)
    return made


app = group(
    COMMANDS[""],
    name="worker",
    help="Decide commands from RabbitMQ against an event store on PostgreSQL.",
    below={"events": COMMANDS["events"]},
)
_added(app, "dead-letters", help="List, show, replay and discard dead letters: messages that could not be processed.")
_added(app, "projections", help="List, rebuild, pause and resume projections, which are read models in tables.")
_added(app, "schedule", help="Run schedules, and list and cancel scheduled commands.")
_added(app, "reactions", help="List, pause and resume reactions, which make commands from events.")
_added(app, "relays", help="List, pause and resume relays, which publish events to the broker.")
_added(app, "load", help="Run load scenarios through RabbitMQ and real workers, and verify every answer.")
_added(app, "topology", help="Declare the broker's exchanges and queues.")
_added(
    _added(app, "db", help="Migrate, check and maintain the event store's database."),
    "db states",
    help="List and drop stored states of views.",
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001  Typer calls it like this
    if wanted:
        print(f"worker {__version__}")  # noqa: T201  plain, for scripts
        raise typer.Exit


@app.callback(help=app.info.help)
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and exit.")
    ] = False,
) -> None:
    pass
