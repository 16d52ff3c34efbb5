"""``worker reactions list | status | skip | pause | resume``."""

from worker.cli import followers
from worker.cli.followers import By, EventNumber, From, Json, Name, Reason
from worker.reading.declared import REACTION

__all__ = ["list_all", "pause_one", "resume_one", "skip_event", "status"]


def list_all(*, json: Json = False) -> None:
    """List the reactions: how far each is, and what stops it. Exit status 1 when one is stopped."""
    followers.list_all(REACTION, json=json)


def status(name: Name, *, json: Json = False) -> None:
    """Tell everything of a reaction: how far it is, what stops it and where, and what was left out.

    Exit status 1 when it is stopped.
    """
    followers.status(REACTION, name, json=json)


def skip_event(name: Name, *, event: EventNumber = None, reason: Reason, by: By = None) -> None:
    """Leave out the event that stops a reaction, and have it go on behind it. Who did so, and why, is noted."""
    followers.skip(REACTION, name, event, reason=reason, by=by)


def pause_one(name: Name) -> None:
    """Have a reaction rest, whichever process runs it, until it is resumed."""
    followers.pause(REACTION, name)


def resume_one(name: Name, *, where: From = None, by: By = None) -> None:
    """Have a reaction go on that was paused, or try the event again that stopped it; or have it go on elsewhere.

    What was sent cannot be unsent. So where the log was rewritten behind it, it goes on only --from a number, or the
    end, that a person names; who did, is noted.
    """
    followers.go_on(REACTION, name, where=where, by=by)
