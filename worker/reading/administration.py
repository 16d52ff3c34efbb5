"""Administration of followers: shows their state, pauses and resumes them, and skips events."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from eventstore import Position
from eventstore.postgres import Session
from worker.errors import FollowerError
from worker.reading.declared import AnyDeclared
from worker.reading.followers import FollowerName, FollowerRow, Followers, Skipped

__all__ = ["COMMANDS", "FollowerStatus", "move", "pause", "resume", "skip", "standings"]

COMMANDS = {
    "projection": ("worker project", "worker projections"),
    "reaction": ("worker react", "worker reactions"),
    "relay": ("worker relay", "worker relays"),
}
"""By kind of follower: the command that runs it, and the command that administers it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerStatus:
    """The state of a projection, reaction or relay in the database of its checkpoint.

    Attributes:
        name: Its name.
        declared: The version that its domain declares; None if no domain of WORKER_DOMAINS declares it.
        current: Its current follower, for a projection the one that readers see; None before its first run.
        building: The follower that will replace it; None if there is none.
        skipped: The events that either of them skips.
    """

    name: FollowerName
    declared: int | None
    current: FollowerRow | None
    building: FollowerRow | None
    skipped: Sequence[Skipped] = ()

    @property
    def rows(self) -> tuple[FollowerRow, ...]:
        """Its followers, the current one first."""
        return tuple(row for row in (self.current, self.building) if row is not None)

    def beside(self, head: int) -> "FollowerStatus":
        """Return this status with the log's head as it is now. A row has the one of its last step."""
        current, building = (row and replace(row, head=head) for row in (self.current, self.building))
        return replace(self, current=current, building=building)


async def standings(
    session: Session, kind: str, declared: Sequence[AnyDeclared], *, others: bool
) -> list[FollowerStatus]:
    """Return the state of projections, reactions or relays.

    Args:
        session: A session with the database of their checkpoints.
        kind: The kind of follower: projection, reaction or relay.
        declared: Those of this kind that domains declare.
        others: Whether to include those that are in the database but not declared.

    Raises:
        EventStoreError: The database cannot be read.
    """
    async with session.transaction() as transaction:
        followers = Followers(transaction)
        rows = await followers.all(kind)
        versions = {each.name: each.version for each in declared}
        names = list(versions) + (sorted({row.name for row in rows} - versions.keys()) if others else [])
        found = []
        for name in names:
            its = [row for row in rows if row.name == name]
            current = next((row for row in its if row.is_current), None)
            building = next((row for row in its if not row.is_current), None)
            skipped: list[Skipped] = []
            for version in dict.fromkeys(row.version for row in its):
                skipped += await followers.skipped(name, version)
            found.append(
                FollowerStatus(
                    name=name,
                    declared=versions.get(name),
                    current=current,
                    building=building,
                    skipped=tuple(skipped),
                )
            )
        return found


async def pause(session: Session, name: FollowerName) -> None:
    """Pause a projection, reaction or relay until it is resumed. The process that runs it stops within a second.

    Args:
        session: A session with the database of its checkpoint.
        name: Its name.

    Raises:
        FollowerError: It was never run.
        EventStoreError: The database cannot be written.
    """
    await _pause(session, name, paused=True)


async def resume(session: Session, name: FollowerName) -> None:
    """Resume one that was paused, or retry the event that stopped it.

    Args:
        session: A session with the database of its checkpoint.
        name: Its name.

    Raises:
        FollowerError: It was never run; or the log was rewritten behind it, and it needs a position to go on from.
        EventStoreError: The database cannot be written.
    """
    async with session.transaction() as transaction:
        rows = await Followers(transaction).of(name)
    for row in rows:
        if row.diverged_from is not None and row.failure is not None:
            _, command = COMMANDS[name.kind]
            raise FollowerError(
                f"{name} is stopped: {row.failure.error}; choose where it continues: `{command} resume {name} --from "
                f"{row.diverged_from}` with the events that the log has now, `--from end` with events recorded from "
                "now on"
            )
    await _pause(session, name, paused=False)


async def skip(session: Session, name: FollowerName, number: int | None, *, by: str, reason: str) -> list[int]:
    """Skip the event that stops one, and record who decided that, and why.

    Args:
        session: A session with the database of its checkpoint.
        name: Its name.
        number: Sequence number of the event, as a check; None for whichever event stops it.
        by: Name of the person who decided it.
        reason: The reason, as recorded.

    Returns:
        The sequence numbers of the skipped events: one for each of its followers that was stopped.

    Raises:
        FollowerError: No event stops it, or another event does.
        EventStoreError: The database cannot be written.
    """
    async with session.transaction() as transaction:
        followers = Followers(transaction)
        rows = await followers.of(name)
        stopped = {
            row.follower_id: row.failure.number for row in rows if row.failure is not None and row.diverged_from is None
        }
        wanted = {follower: event for follower, event in stopped.items() if number in {None, event}}
        if not wanted:
            by_what = ", ".join(map(str, stopped.values()))
            raise FollowerError(
                f"{name} is stopped by event {by_what}, not by {number}" if stopped else f"no event stops {name}"
            )
        left_out = {
            event
            for follower_id, event in wanted.items()
            if await followers.skip(follower_id, event, by=by, reason=reason)
        }
        if not left_out:
            raise FollowerError(f"no event stops {name} any more: it was skipped or resumed meanwhile")
        return sorted(left_out)


async def move(session: Session, name: FollowerName, to: Position, *, head: int, by: str) -> None:
    """Make a reaction or a relay go on from a position, whatever stops or pauses it, and record who decided that.

    What was sent for later events is sent again: commands with the same ids, provided that the events are the same.

    Args:
        session: A session with the database of its checkpoint.
        name: Its name.
        to: The position to go on from.
        head: Sequence number of the log's head.
        by: Name of the person who decided it.

    Raises:
        FollowerError: It was never run.
        EventStoreError: The database cannot be written.
    """
    async with session.transaction() as transaction:
        followers = Followers(transaction)
        rows = await followers.of(name)
        if not rows or not await followers.move(rows[0].follower_id, to, head=head, by=by):
            raise FollowerError(f"{name} was never run: start `{COMMANDS[name.kind][0]}`")


async def _pause(session: Session, name: FollowerName, *, paused: bool) -> None:
    async with session.transaction() as transaction:
        if not await Followers(transaction).pause(name, paused=paused):
            raise FollowerError(f"{name} was never run: start `{COMMANDS[name.kind][0]}`")
