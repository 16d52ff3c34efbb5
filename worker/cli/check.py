"""``worker check`` and ``worker db check``."""

from typing import Annotated

import typer

from worker.cli.database_inspection import inspect_database
from worker.cli.findings import report
from worker.cli.loop import run_async
from worker.settings import Settings

__all__ = ["check", "check_database"]


def check(*, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Tell what is reachable, what is not, and what to do. Exit status 2 when a worker could not run as it should."""
    from worker.cli.inspection import inspect  # noqa: PLC0415  domains and the broker are of this command alone

    report(run_async(inspect(Settings.load(needs=()))), json=json)


def check_database(*, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Tell what is wrong with the database, or will be, and what to do. Exit status 2 when something is.

    Looks at the schema, the role's rights, settings, indexes, the guard of the events, connections, poolers, and how
    far replicas lag. Changes nothing.
    """
    report(run_async(inspect_database(Settings.load(needs=("database_url",)))), json=json)
