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
    """Build a projection's tables anew from the log, beside those that readers read, and put them in their place.

    A process of `worker project` does it. Exit status 1 when the answer was no.
    """
    target, declared = projections.one(name)
    if not isinstance(declared, Declared):
        raise TypeError(f"{declared.name} is no projection")
    if not yes and not agreed(
        f"The whole log is read again for {declared.name}. Readers go on reading what there is until it is done.",
        "Build it anew?",
        nobody="there is nobody to ask before a projection is built anew: pass --yes.",
    ):
        raise typer.Exit(1)
    begun = asked(target, declared.rebuild)
    tell(f"{declared.name} is built anew from now on." if begun else f"{declared.name} is being built anew already.")
