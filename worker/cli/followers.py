"""The commands that projections, reactions and relays have in common: state, and what a person can do."""

import getpass
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer

from eventstore import EventStoreError
from eventstore.postgres import PostgresEventStore, Session
from worker.cli.loop import run_async
from worker.cli.options import Json
from worker.cli.terminal import print_json, table, tell
from worker.errors import FollowerError
from worker.failures import naming, sentence
from worker.reading import administration
from worker.reading.administration import COMMANDS, FollowerStatus
from worker.reading.complaints import session_at
from worker.reading.declared import PROJECTION, REACTION, RELAY, AnyDeclared, Target, targets_of
from worker.reading.followers import FollowerRow
from worker.reading.outputs import position_before
from worker.reading.state import State, state_of
from worker.reading_store import head_of
from worker.settings import Settings

__all__ = ["asked", "projections", "reactions", "relays"]

T = TypeVar("T")
_PURPOSE = "worker followers"
Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name, as NAME or DOMAIN.NAME.")]
EventNumber = Annotated[
    int | None, typer.Option("--event", min=1, help="The event's number; refused if another event stops it.")
]
Reason = Annotated[str, typer.Option(help="The reason, which is recorded.")]
By = Annotated[str | None, typer.Option(help="The user to record; by default the logged-in user.")]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="EVENT|end",
        help="Continue with this event, whatever was sent before; `end` for events recorded from now on.",
    ),
]


class FollowerCommands:
    """The commands for followers of one kind.

    Args:
        kind: The kind of followers.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def list_all(self, *, json: Json = False) -> None:
        """List those of a kind: how far each is, and what stops it. Exit status 1 when one is stopped."""
        found: list[FollowerStatus] = []
        for target in targets_of(_settings(), kinds=(self.kind,)):
            found += _standings(target, self.kind, target.declared, others=True)
        # If several logs share the database of the checkpoints, each lists the others' followers as well.
        by_name = {each.name: each for each in found if each.declared is None}
        by_name |= {each.name: each for each in found if each.declared is not None}
        listed = list(by_name.values())
        if json:
            print_json([_document(each) for each in listed])
        else:
            versions = ("version",) if self.kind == PROJECTION else ()
            listing = table(self.kind, *versions, "state", "event", "behind", "moved", "process")
            for each in listed:
                for row in each.rows:
                    moved = "" if row.moved_at is None else f"{row.moved_at:%Y-%m-%d %H:%M:%S} UTC"
                    owner = (row.owner or "") if row.is_leased else ""
                    figures = (f"{row.position.number:,}", f"{max(row.head - row.position.number, 0):,}")
                    version = (str(row.version),) if versions else ()
                    listing.add_row(str(each.name), *version, _state(each, row).text, *figures, moved, owner)
                if not each.rows:
                    version = (str(each.declared),) if versions else ()
                    listing.add_row(str(each.name), *version, "never run", "", "", "", "")
            tell(listing)
        if any(row.failure is not None for each in listed for row in each.rows):
            raise typer.Exit(1)

    def status(self, name: Name, *, json: Json = False) -> None:
        """Tell everything of one: how far it is, what stops it and where, and what was left out.

        Exit status 1 when it is stopped.
        """
        target, declared = self.one(name)
        (found,) = _standings(target, self.kind, [declared], others=False)
        if json:
            print_json(_document(found))
        else:
            _tell(found)
        if any(row.failure is not None for row in found.rows):
            raise typer.Exit(1)

    def skip_event(self, name: Name, *, event: EventNumber = None, reason: Reason, by: By = None) -> None:
        """Leave out the event that stops one, and have it go on behind it. Who did so, and why, is noted."""
        target, declared = self.one(name)
        who = by or _user()
        left_out = asked(
            target, lambda session: administration.skip(session, declared.name, event, by=who, reason=reason)
        )
        tell(f"{declared.name} continues without event {', '.join(map(str, left_out))}.")

    def pause_one(self, name: Name) -> None:
        """Have one rest, whichever process runs it, until it is resumed."""
        target, declared = self.one(name)
        asked(target, lambda session: administration.pause(session, declared.name))
        tell(f"{declared.name} is paused.")

    def resume_one(self, name: Name) -> None:
        """Have one go on that was paused, or try the event again that stopped it."""
        target, declared = self.one(name)
        asked(target, lambda session: administration.resume(session, declared.name))
        tell(f"{declared.name} continues.")

    def one(self, name: str) -> tuple[Target, AnyDeclared]:
        """Return the follower with a name, and the target that it belongs to."""
        (target,) = targets_of(_settings(), [name], kinds=(self.kind,))
        (declared,) = target.declared
        return target, declared


class OutputCommands(FollowerCommands):
    """The commands for reactions or relays: messages cannot be unsent, so a person decides where they go on."""

    def resume_one(self, name: Name, *, where: From = None, by: By = None) -> None:
        """Have one go on that was paused, or try the event again that stopped it; or have it go on elsewhere.

        What was sent cannot be unsent. So where the log was rewritten behind it, it goes on only --from a number, or
        the end, that a person names; who did, is noted.
        """
        if where is None:
            super().resume_one(name)
            return
        number = _number(where)
        who = by or _user()
        target, declared = self.one(name)
        asked(target, lambda session: _moved(session, target, declared, number, who))
        tell(f"{declared.name} continues with {f'event {number}' if number else 'events recorded from now on'}.")


projections = FollowerCommands(PROJECTION)
reactions = OutputCommands(REACTION)
relays = OutputCommands(RELAY)


def asked(target: Target, ask: Callable[[Session], Awaitable[T]]) -> T:
    """Run a function with a session to the database of the checkpoints."""

    async def answer() -> T:
        with naming(target.variable):
            async with session_at(target.url, purpose=_PURPOSE, schema=target.store.database_schema) as session:
                return await ask(session)

    return run_async(answer())


def _standings(target: Target, kind: str, declared: Sequence[AnyDeclared], *, others: bool) -> list[FollowerStatus]:
    """Return the state of followers. Those that a domain declares have the head of their log as it is now.

    A follower that is paused, stopped or not run does not see the log grow. If the log cannot be read now, standard
    error says so.
    """

    async def answer(session: Session) -> list[FollowerStatus]:
        found = await administration.standings(session, kind=kind, declared=declared, others=others)
        try:
            head = await head_of(target.store, application_name=_PURPOSE)
        except EventStoreError as error:
            typer.echo(f"How far the log is now is not known: {sentence(error)}", err=True)
            return found
        return [each if each.declared is None else each.beside(head) for each in found]

    return asked(target, answer)


async def _moved(session: Session, target: Target, declared: AnyDeclared, number: int | None, by: str) -> None:
    with naming(target.store.variable("database_url")):
        async with PostgresEventStore.connect(
            target.store.database_url,
            schema=target.store.database_schema,
            application_name=_PURPOSE,
            writable=False,
        ) as log:
            position, head = await position_before(log, number)
    await administration.move(session, declared.name, position, head=head, by=by)


def _number(where: str) -> int | None:
    if where == "end":
        return None
    if not where.isdecimal() or not where.isascii() or int(where) < 1:
        raise FollowerError(f"--from takes the number of an event, or `end`, not {where!r}")
    return int(where)


def _settings() -> Settings:
    return Settings.load(needs=("database_url",))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise FollowerError("the name of the logged-in user is unknown: pass --by") from None


def _state(standing: FollowerStatus, row: FollowerRow) -> State:
    return state_of(row, is_declared=standing.declared is not None)


def _document(standing: FollowerStatus) -> dict[str, Any]:
    kind = standing.name.kind
    rows = [_row(standing, row) for row in standing.rows]
    builds = {"declared_version": standing.declared, "builds": rows}
    # Reactions and relays have one row, and no version.
    its = builds if kind == PROJECTION else {"state": "never run", **(rows[0] if rows else {})}
    if kind != PROJECTION:
        for name in ("id", "version", "is_current"):
            its.pop(name, None)
    return {
        kind: str(standing.name),
        **its,
        "skipped": [
            {"event": each.number, "type": each.event_type, "error": each.error, "reason": each.reason}
            | {"by": each.skipped_by, "at": each.skipped_at}
            for each in standing.skipped
        ],
    }


def _row(standing: FollowerStatus, row: FollowerRow) -> dict[str, Any]:
    return {
        "id": row.follower_id,
        "version": row.version,
        "is_current": row.is_current,
        "state": _state(standing, row).text,
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


def _tell(standing: FollowerStatus) -> None:
    runs, command = COMMANDS[standing.name.kind]
    is_projection = standing.name.kind == PROJECTION
    tell(f"{standing.name}, declared as version {standing.declared}" if is_projection else str(standing.name))
    if not standing.rows:
        tell(f"It was never run: start `{runs}`.")
    for row in standing.rows:
        what = "in use by readers" if row.is_current else "being built"
        at = f"at event {row.position.number:,} of {row.head:,}"
        version = f"version {row.version}, {what}: " if is_projection else ""
        tell(f"  {version}{_state(standing, row).text}, {at}")
        if row.failure is not None and row.diverged_from is not None:
            tell(f"  {row.failure.error}")
            tell(
                f"  Check what was sent, then continue: `{command} resume {standing.name} --from {row.diverged_from}` "
                "with the events that the log has now, `--from end` with events recorded from now on."
            )
        elif row.failure is not None:
            tell(f"  event {row.failure.number} ({row.failure.event_type}): {row.failure.error}")
            for line in row.failure.trace.rstrip().split("\n"):
                tell(f"    {line}")
            tell(
                f"  Correct the cause and start `{runs}` again, or run `{command} resume {standing.name}`; to "
                f"continue without the event, run `{command} skip {standing.name} --reason …`."
            )
    for each in standing.skipped:
        who = f"by {each.skipped_by}, {each.skipped_at:%Y-%m-%d %H:%M} UTC"
        tell(f"  skipped: event {each.number} ({each.event_type}), {who}: {each.reason}")
