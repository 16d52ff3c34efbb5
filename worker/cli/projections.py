"""``worker projections list | status | rebuild | skip | pause | resume``."""

from typing import Annotated

import typer

from worker.cli import followers
from worker.cli.consent import agreed
from worker.cli.followers import By, EventNumber, Json, Name, Reason
from worker.cli.terminal import tell
from worker.reading import builds
from worker.reading.builds import Declared
from worker.reading.declared import PROJECTION

__all__ = ["list_all", "pause_one", "rebuild", "resume_one", "skip_event", "status"]


def list_all(*, json: Json = False) -> None:
    """List the projections: how far each is, and what stops it. Exit status 1 when one is stopped."""
    followers.list_all(PROJECTION, json=json)


def status(name: Name, *, json: Json = False) -> None:
    """Tell everything of a projection: how far it is, what stops it and where, and what was left out.

    Exit status 1 when it is stopped.
    """
    followers.status(PROJECTION, name, json=json)


def rebuild(
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
) -> None:
    """Build a projection's tables anew from the log, beside those that readers read, and put them in their place.

    A process of `worker project` does it. Exit status 1 when the answer was no.
    """
    target, declared = followers.one(PROJECTION, name)
    if not isinstance(declared, Declared):
        raise TypeError(f"{declared.name} is no projection")
    if not yes and not agreed(
        f"The whole log is read again for {declared.name}. Readers go on reading what there is until it is done.",
        "Build it anew?",
        nobody="there is nobody to ask before a projection is built anew: pass --yes.",
    ):
        raise typer.Exit(1)
    begun = followers.asked(target, lambda session: builds.rebuild(session, declared))
    tell(f"{declared.name} is built anew from now on." if begun else f"{declared.name} is being built anew already.")


def skip_event(name: Name, *, event: EventNumber = None, reason: Reason, by: By = None) -> None:
    """Leave out the event that stops a projection, and have it go on behind it. Who did so, and why, is noted."""
    followers.skip(PROJECTION, name, event, reason=reason, by=by)


def pause_one(name: Name) -> None:
    """Have a projection rest, whichever process runs it, until it is resumed."""
    followers.pause(PROJECTION, name)


def resume_one(name: Name) -> None:
    """Have a projection go on that was paused, or try the event again that stopped it."""
    followers.go_on(PROJECTION, name)
