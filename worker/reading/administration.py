"""What a person asks of projections: how they stand, to pause them, to go on, to leave an event out."""

from collections.abc import Sequence
from dataclasses import dataclass

from eventstore.postgres import Session
from worker.errors import ProjectionError
from worker.reading.builds import KIND, Declared
from worker.reading.followers import FollowerName, FollowerRow, Followers, Skipped

__all__ = ["Standing", "pause", "resume", "skip", "standings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a projection stands in the database of its tables.

    Attributes:
        name: What it is called.
        declared: The version that the domain declares; None where none of WORKER_DOMAINS does.
        current: What readers read; None before it was run for the first time.
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


async def standings(session: Session, declared: Sequence[Declared], *, others: bool) -> list[Standing]:
    """Return how projections stand.

    Args:
        session: The database of their tables.
        declared: Which.
        others: Whether those are told of as well that are in the database and not declared.

    Raises:
        EventStoreError: It cannot be asked.
    """
    async with session.transaction() as transaction:
        followers = Followers(transaction)
        rows = await followers.all(KIND)
        versions = {each.name: each.projection.version for each in declared}
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
    """Have a projection rest until it is resumed: the process that runs it stops within a second.

    Raises:
        ProjectionError: It was never run.
        EventStoreError: The database does not do it.
    """
    await _pause(session, name, paused=True)


async def resume(session: Session, name: FollowerName) -> None:
    """Have a projection go on that was paused, or try the event again that stopped it. Raises as ``pause``."""
    await _pause(session, name, paused=False)


async def skip(session: Session, name: FollowerName, number: int | None, *, by: str, reason: str) -> list[int]:
    """Leave out the event that stops a projection, and write down who wanted that, and why.

    Args:
        session: The database of its tables.
        name: The projection.
        number: The event, to be sure; None for whichever it is.
        by: Who.
        reason: Why.

    Returns:
        The events that are left out: one for each build that is stopped.

    Raises:
        ProjectionError: No event stops it, or another one does.
        EventStoreError: The database does not do it.
    """
    async with session.transaction() as transaction:
        followers = Followers(transaction)
        rows = await followers.of(name)
        stopped = {row.follower_id: row.failure.number for row in rows if row.failure is not None}
        wanted = {follower: event for follower, event in stopped.items() if number in {None, event}}
        if not wanted:
            by_what = ", ".join(map(str, stopped.values()))
            raise ProjectionError(
                f"{name} is stopped by event {by_what}, not by {number}" if stopped else f"no event stops {name}"
            )
        for follower_id, event in wanted.items():
            await followers.skip(follower_id, event, by=by, reason=reason)
        return sorted(set(wanted.values()))


async def _pause(session: Session, name: FollowerName, *, paused: bool) -> None:
    async with session.transaction() as transaction:
        if not await Followers(transaction).pause(name, paused=paused):
            raise ProjectionError(f"{name} was never run: `worker project` makes its tables")
