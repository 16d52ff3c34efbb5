"""``worker projections list | status | rebuild | skip | pause | resume``."""

import getpass
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, TypeVar

import typer

from eventstore import EventStoreError
from eventstore.postgres import Session
from worker.cli.consent import agreed
from worker.cli.loop import run_async
from worker.cli.terminal import print_json, table, tell
from worker.errors import ProjectionError
from worker.reading import builds
from worker.reading.administration import Standing, pause, resume, skip, standings
from worker.reading.builds import Declared
from worker.reading.complaints import complaint
from worker.reading.declared import Target, targets_of
from worker.reading.followers import FollowerRow
from worker.settings import Settings

__all__ = ["list_all", "pause_one", "rebuild", "resume_one", "skip_event", "status"]

T = TypeVar("T")
Name = Annotated[str, typer.Argument(metavar="NAME", help="The projection, as NAME or DOMAIN.NAME.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def list_all(*, json: Json = False) -> None:
    """List the projections: how far each is, and what stops it. Exit status 1 when one is stopped."""
    found: list[Standing] = []
    for target in targets_of(_settings()):
        found += _asked(target, partial(standings, declared=target.declared, others=True))
    # Where several logs share the database of the tables, each would tell of the others' again.
    by_name = {each.name: each for each in found if each.declared is None}
    by_name |= {each.name: each for each in found if each.declared is not None}
    listed = list(by_name.values())
    if json:
        print_json([_document(each) for each in listed])
    else:
        listing = table("projection", "version", "state", "event", "behind", "moved", "process")
        for each in listed:
            for row in each.rows:
                moved = "" if row.moved_at is None else f"{row.moved_at:%Y-%m-%d %H:%M:%S} UTC"
                owner = (row.owner or "") if row.is_leased else ""
                figures = (f"{row.position.number:,}", f"{max(row.head - row.position.number, 0):,}")
                listing.add_row(str(each.name), str(row.version), _state(each, row), *figures, moved, owner)
            if not each.rows:
                listing.add_row(str(each.name), str(each.declared), "never run", "", "", "", "")
        tell(listing)
    if any(row.failure is not None for each in listed for row in each.rows):
        raise typer.Exit(1)


def status(name: Name, *, json: Json = False) -> None:
    """Tell everything of a projection: how far it is, what stops it and where, and what was left out.

    Exit status 1 when it is stopped.
    """
    target, declared = _one(name)
    (found,) = _asked(target, lambda session: standings(session, [declared], others=False))
    if json:
        print_json(_document(found))
    else:
        _tell(found)
    if any(row.failure is not None for row in found.rows):
        raise typer.Exit(1)


def rebuild(
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
) -> None:
    """Build a projection's tables anew from the log, beside those that readers read, and put them in their place.

    A process of `worker project` does it. Exit status 1 when the answer was no.
    """
    target, declared = _one(name)
    if not yes and not agreed(
        f"The whole log is read again for {declared.name}. Readers go on reading what there is until it is done.",
        "Build it anew?",
        nobody="there is nobody to ask before a projection is built anew: pass --yes.",
    ):
        raise typer.Exit(1)
    begun = _asked(target, lambda session: builds.rebuild(session, declared))
    tell(f"{declared.name} is built anew from now on." if begun else f"{declared.name} is being built anew already.")


def skip_event(
    name: Name,
    *,
    event: Annotated[
        int | None, typer.Option(min=1, help="The event's number, to be sure that it is this one.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it is written down.")],
    by: Annotated[str | None, typer.Option(help="Who wants it; without this, who is logged in.")] = None,
) -> None:
    """Leave out the event that stops a projection, and have it go on behind it. Who did so, and why, is noted."""
    target, declared = _one(name)
    who = by or _user()
    left_out = _asked(target, lambda session: skip(session, declared.name, event, by=who, reason=reason))
    tell(f"{declared.name} goes on without event {', '.join(map(str, left_out))}.")


def pause_one(name: Name) -> None:
    """Have a projection rest, whichever process runs it, until it is resumed."""
    target, declared = _one(name)
    _asked(target, lambda session: pause(session, declared.name))
    tell(f"{declared.name} is paused.")


def resume_one(name: Name) -> None:
    """Have a projection go on that was paused, or try the event again that stopped it."""
    target, declared = _one(name)
    _asked(target, lambda session: resume(session, declared.name))
    tell(f"{declared.name} goes on.")


def _settings() -> Settings:
    return Settings.load(needs=("database_url",))


def _one(name: str) -> tuple[Target, Declared]:
    (target,) = targets_of(_settings(), [name])
    (declared,) = target.declared
    return target, declared


def _asked(target: Target, ask: Callable[[Session], Awaitable[T]]) -> T:
    async def asked() -> T:
        session = Session(target.url, purpose="worker projections")
        try:
            return await ask(session)
        except EventStoreError as error:
            raise complaint(error) from error
        finally:
            await session.close()

    return run_async(asked())


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise ProjectionError("nobody is logged in whose name could be written down: pass --by") from None


def _state(standing: Standing, row: FollowerRow) -> str:
    if row.failure is not None:
        return f"stopped by event {row.failure.number:,}"
    if row.paused_at is not None:
        return "paused"
    if row.diverged_at is not None:
        return "derived from a lost history"
    if standing.declared is None:
        return "not in WORKER_DOMAINS"
    if not row.is_leased:
        return "nothing runs it"
    return "running" if row.is_current else "being built"


def _document(standing: Standing) -> dict[str, Any]:
    return {
        "projection": str(standing.name),
        "declared_version": standing.declared,
        "builds": [
            {
                "id": row.follower_id,
                "version": row.version,
                "is_current": row.is_current,
                "state": _state(standing, row),
                "position": str(row.position),
                "head": row.head,
                "moved_at": row.moved_at,
                "process": row.owner if row.is_leased else None,
                "failure": None
                if row.failure is None
                else {
                    "event": row.failure.number,
                    "type": row.failure.event_type,
                    "error": row.failure.error,
                    "trace": row.failure.trace,
                    "at": row.failure.at,
                },
            }
            for row in standing.rows
        ],
        "skipped": [
            {"event": each.number, "type": each.event_type, "error": each.error, "reason": each.reason}
            | {"by": each.skipped_by, "at": each.skipped_at}
            for each in standing.skipped
        ],
    }


def _tell(standing: Standing) -> None:
    tell(f"{standing.name}, declared as version {standing.declared}")
    if not standing.rows:
        tell("It was never run: `worker project` makes its tables.")
    for row in standing.rows:
        what = "what readers read" if row.is_current else "what is being built"
        at = f"at event {row.position.number:,} of {row.head:,}"
        tell(f"  version {row.version}, {what}: {_state(standing, row)}, {at}")
        if row.failure is not None:
            tell(f"  event {row.failure.number} ({row.failure.event_type}): {row.failure.error}")
            for line in row.failure.trace.rstrip().split("\n"):
                tell(f"    {line}")
            tell(
                f"  Correct it and start `worker project` again, or `worker projections resume {standing.name}`; or go "
                f"on without it: `worker projections skip {standing.name} --reason …`."
            )
    for each in standing.skipped:
        who = f"by {each.skipped_by}, {each.skipped_at:%Y-%m-%d %H:%M} UTC"
        tell(f"  left out: event {each.number} ({each.event_type}), {who}: {each.reason}")
