"""What a person asks of what follows the log: how it stands, to pause it, to go on, to leave an event out."""

from collections.abc import Sequence
from dataclasses import dataclass

from eventstore import Position
from eventstore.postgres import Session
from worker.errors import FollowerError
from worker.reading.declared import AnyDeclared
from worker.reading.followers import FollowerName, FollowerRow, Followers, Skipped

__all__ = ["COMMANDS", "Standing", "move", "pause", "resume", "skip", "standings"]

COMMANDS = {
    "projection": ("worker project", "worker projections"),
    "reaction": ("worker react", "worker reactions"),
    "relay": ("worker relay", "worker relays"),
}
"""By kind, what runs it, and what a person looks after it with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How something stands in the database of its checkpoint.

    Attributes:
        name: What it is called.
        declared: The version that the domain declares; None where none of WORKER_DOMAINS does.
        current: Its follower, of a projection the one that readers read; None before it was run for the first time.
        building: What is to take its place, or None.
        skipped: The events that are left out of either.
    """

    name: FollowerName
    declared: int | None
    current: FollowerRow | None
    building: FollowerRow | None
    skipped: Sequence[Skipped] = ()

    @property
    def rows(self) -> tuple[FollowerRow, ...]:
        """What there is of it, what readers read first."""
        return tuple(row for row in (self.current, self.building) if row is not None)


async def standings(session: Session, kind: str, declared: Sequence[AnyDeclared], *, others: bool) -> list[Standing]:
    """Return how projections, reactions or relays stand.

    Args:
        session: The database of their checkpoints.
        kind: Of which kind they are.
        declared: Which.
        others: Whether those are told of as well that are in the database and not declared.

    Raises:
        EventStoreError: It cannot be asked.
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
                Standing(
                    name=name,
                    declared=versions.get(name),
                    current=current,
                    building=building,
                    skipped=tuple(skipped),
                )
            )
        return found


async def pause(session: Session, name: FollowerName) -> None:
    """Have one rest until it is resumed: the process that runs it stops within a second.

    Raises:
        FollowerError: It was never run.
        EventStoreError: The database does not do it.
    """
    await _pause(session, name, paused=True)


async def resume(session: Session, name: FollowerName) -> None:
    """Have one go on that was paused, or try the event again that stopped it.

    Raises:
        FollowerError: It was never run; or the log was rewritten behind it, and where it goes on is to be said.
        EventStoreError: The database does not do it.
    """
    async with session.transaction() as transaction:
        rows = await Followers(transaction).of(name)
    for row in rows:
        if row.diverged_from is not None and row.failure is not None:
            _, command = COMMANDS[name.kind]
            raise FollowerError(
                f"{name} is stopped: {row.failure.error}; say where it goes on: `{command} resume {name} --from "
                f"{row.diverged_from}` has it see the events that are there now, `--from end` only those that are yet "
                "to come"
            )
    await _pause(session, name, paused=False)


async def skip(session: Session, name: FollowerName, number: int | None, *, by: str, reason: str) -> list[int]:
    """Leave out the event that stops one, and write down who wanted that, and why.

    Args:
        session: The database of its checkpoint.
        name: Which.
        number: The event, to be sure; None for whichever it is.
        by: Who.
        reason: Why.

    Returns:
        The events that are left out: one for each build that is stopped.

    Raises:
        FollowerError: No event stops it, or another one does.
        EventStoreError: The database does not do it.
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
            raise FollowerError(f"no event stops {name} any more: somebody else was faster")
        return sorted(left_out)


async def move(session: Session, name: FollowerName, to: Position, *, head: int, by: str) -> None:
    """Have a reaction or a relay go on behind a position, whatever stops or pauses it; who wanted it is written down.

    What lies behind the position, and was sent before, is sent again: commands with the same ids, as far as the events
    are the same.

    Args:
        session: The database of its checkpoint.
        name: Which.
        to: Where it goes on.
        head: How far the log is.
        by: Who.

    Raises:
        FollowerError: It was never run.
        EventStoreError: The database does not do it.
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
