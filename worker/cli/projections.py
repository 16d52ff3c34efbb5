"""``worker projections rebuild``."""

from typing import Annotated

import typer

from worker.cli.consent import agreed
from worker.cli.followers import asked, projections
from worker.cli.options import Yes
from worker.cli.terminal import tell
from worker.reading.builds import Declared

__all__ = ["rebuild"]


def rebuild(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, as NAME or DOMAIN.NAME.")],
    *,
    yes: Yes = False,
) -> None:
    """Rebuild a projection's tables from the log, beside the tables in use, and then replace these.

    A process of `worker project` does it. Exit status 1 when the answer was no.
    """
    target, declared = projections.one(name)
    if not isinstance(declared, Declared):
        raise TypeError(f"{declared.name} is no projection")
    if not yes and not agreed(
        f"The whole log is read again for {declared.name}. Readers use the present tables until the rebuild is "
        "complete.",
        "Rebuild it?",
        action="a projection is rebuilt",
    ):
        raise typer.Exit(1)
    begun = asked(target, declared.rebuild)
    tell(f"The rebuild of {declared.name} has begun." if begun else f"{declared.name} is being rebuilt already.")
