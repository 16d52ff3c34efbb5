"""Followers: the rows that say how far what follows the log has come, and which process may write for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from eventstore import Position
from eventstore.postgres import Transaction

__all__ = ["ADVANCE", "ADVANCE_ON_TRAIL", "HOLDS", "Failure", "FollowerName", "FollowerRow", "Followers", "Skipped"]

_COLUMNS = (
    "follower_id, kind, domain, name, version, layout, is_current, number, token, head, moved_at, owner, fence, "
    "leased_until > clock_timestamp() AS is_leased, extract(epoch FROM leased_until)::float8 AS lease_end, "
    "paused_at, failed_number, failed_type, error, trace, failed_at, "
    "diverged_at, diverged_from, trail, clock_timestamp() AS now"
)
_OF_NAME = "WHERE kind = $1 AND domain = $2 AND name = $3"
_IN_ORDER = "ORDER BY kind, domain, name, is_current DESC"


ADVANCE = "SELECT reading.advance_v1($1, $2, $3, $4, $5, $6, $7)"
"""Moves a checkpoint: see the function. Its values are the follower, the fence, the number to leave, the number and
token to come to, the head, and the seconds of the lease."""

ADVANCE_ON_TRAIL = "SELECT reading.advance_v2($1, $2, $3, $4, $5, $6, $7)"
"""Moves a checkpoint as ``ADVANCE`` does, with the same values, and keeps the last positions."""

HOLDS = "SELECT reading.holds_v1($1, $2)"
"""Tells whether a process may still act for a follower. Its values are the follower and the fence."""


# The lease is looked at once more: it is not given back where its owner has kept it meanwhile.
_TAKE_ABANDONED = (
    "SELECT reading.release_v1(f.follower_id, f.fence), reading.take_v1(f.follower_id, $4, $5) AS fence "
    "FROM reading.followers f "
    "WHERE f.follower_id = $1 AND f.fence = $2 AND extract(epoch FROM f.leased_until)::float8 = $3"
)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class FollowerName:
    """What follows the log, in whichever version.

    Attributes:
        kind: What kind of follower it is, such as ``projection``.
        domain: The domain's name.
        name: Its own.
    """

    kind: str
    domain: str
    name: str

    @property
    def parts(self) -> tuple[str, str, str]:
        """Its columns."""
        return self.kind, self.domain, self.name

    def __str__(self) -> str:
        return f"{self.domain}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The event that stops a follower.

    Attributes:
        number: Its sequence number.
        event_type: Its type.
        error: What went wrong, in a sentence.
        trace: Where, in lines.
        at: When; None where it is not on record yet.
    """

    number: int
    event_type: str
    error: str
    trace: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerRow:
    """A follower, as it is on record.

    Attributes:
        follower_id: Its number.
        name: What it is of.
        version: Of which version.
        layout: What its tables look like.
        is_current: Whether readers read it; else it is to take the place of the one that they do.
        position: How far it has come.
        head: How far the log was then.
        moved_at: When; None before the first time.
        owner: The process that has the lease, or had it last.
        fence: The lease's number.
        is_leased: Whether the lease holds, by the server's clock.
        lease_end: Until when, in seconds since the epoch by that clock.
        paused_at: Since when it is paused by hand.
        failure: The event that stops it.
        diverged_at: Since when it is known to be derived from a history that was rewritten.
        diverged_from: The first event that is another one than what it has followed; None where nothing depends on it.
        trail: The last positions that it had come to, the newest first; none of a projection.
        now: The server's clock.
    """

    follower_id: int
    name: FollowerName
    version: int
    layout: bytes
    is_current: bool
    position: Position
    head: int
    moved_at: datetime | None
    owner: str | None
    fence: int
    is_leased: bool
    lease_end: float
    paused_at: datetime | None
    failure: Failure | None
    diverged_at: datetime | None
    diverged_from: int | None
    trail: tuple[Position, ...]
    now: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read a row."""
        failure = None
        if row["failed_number"] is not None:
            failure = Failure(
                number=row["failed_number"],
                event_type=row["failed_type"],
                error=row["error"],
                trace=row["trace"],
                at=row["failed_at"],
            )
        same = ("follower_id", "version", "layout", "is_current", "head", "moved_at", "owner", "fence")
        also = ("is_leased", "lease_end", "paused_at", "diverged_at", "diverged_from", "now")
        trail: Sequence[int] = row["trail"]
        return cls(
            name=FollowerName(kind=row["kind"], domain=row["domain"], name=row["name"]),
            position=Position(number=row["number"], token=row["token"]),
            failure=failure,
            trail=tuple(Position(number=trail[at], token=trail[at + 1]) for at in range(0, len(trail), 2)),
            **{name: row[name] for name in (*same, *also)},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """An event that was left out by hand.

    Attributes:
        number: Its sequence number.
        event_type: Its type.
        error: What it failed with.
        reason: Why it was left out.
        skipped_by: Who wanted that.
        skipped_at: When.
    """

    number: int
    event_type: str
    error: str
    reason: str
    skipped_by: str
    skipped_at: datetime


class Followers:
    """The rows, in a transaction. All writing goes through functions, which keep what they promise to each other.

    Raises:
        EventStoreError: As ``Session.transaction``, from each method.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def lock(self, name: FollowerName) -> None:
        """Keep others from adding, replacing and retiring followers of a name, to the transaction's end."""
        await self._value("SELECT reading.lock_v1($1, $2, $3)", *name.parts)

    async def all(self, *kinds: str) -> list[FollowerRow]:
        """Return all of some kinds."""
        return await self._rows(f"reading.followers WHERE kind = ANY ($1) {_IN_ORDER}", list(kinds))

    async def every(self) -> list[FollowerRow]:
        """Return all of all kinds."""
        return await self._rows(f"reading.followers {_IN_ORDER}")

    async def of(self, name: FollowerName) -> list[FollowerRow]:
        """Return those of a name: the current one first."""
        return await self._rows(f"reading.followers {_OF_NAME} {_IN_ORDER}", *name.parts)

    async def hold(self, name: FollowerName) -> list[FollowerRow]:
        """Return those of a name, and keep each from moving to the transaction's end."""
        return await self._rows("reading.held_v1($1, $2, $3)", *name.parts)

    async def add(self, name: FollowerName, *, version: int, layout: bytes, is_current: bool) -> int:
        """Add one at the log's start, and return its number."""
        values = (*name.parts, version, layout, is_current)
        return int(await self._value("SELECT reading.add_v1($1, $2, $3, $4, $5, $6)", *values))

    async def add_at(self, name: FollowerName, *, version: int, position: Position, head: int) -> int:
        """Add one that begins at a position, and return its number."""
        values = (*name.parts, version, position.number, position.token, head)
        return int(await self._value("SELECT reading.add_v2($1, $2, $3, $4, $5, $6, $7)", *values))

    async def retire(self, follower_id: int) -> None:
        """Take one away; its tables are to go later."""
        await self._value("SELECT reading.retire_v1($1)", follower_id)

    async def promote(self, follower_id: int, fence: int) -> bool:
        """Have one be the current one of its name; return whether the fence is the newest."""
        return bool(await self._value("SELECT reading.promote_v1($1, $2)", follower_id, fence))

    async def retired(self) -> list[int]:
        """Return those whose tables are to go."""
        rows = await self._transaction.fetch_own("SELECT follower_id FROM reading.retired ORDER BY follower_id")
        return [row["follower_id"] for row in rows]

    async def forget(self, follower_id: int) -> None:
        """Note that a retired one's tables are gone."""
        await self._value("SELECT reading.forget_v1($1)", follower_id)

    async def take(self, follower_id: int, owner: str, seconds: float) -> int | None:
        """Take a lease; return its fence, or None where it is somebody's."""
        fence: int | None = await self._value("SELECT reading.take_v1($1, $2, $3)", follower_id, owner, seconds)
        return fence

    async def take_abandoned(self, row: FollowerRow, owner: str, seconds: float) -> int | None:
        """Take a lease that holds by the server's clock, and that nobody keeps; None where somebody has kept it.

        In a transaction with a ``lock_timeout``: who writes for it now has its row.
        """
        # Read before it runs: whoever is frozen in between keeps no row locked.
        statement = await self._transaction.prepare(_TAKE_ABANDONED)
        rows = await statement.run(row.follower_id, row.fence, row.lease_end, owner, seconds)
        return rows[0]["fence"] if rows else None

    async def renew(self, held: Mapping[int, int], seconds: float) -> frozenset[int]:
        """Keep leases, given as fence by follower; return those followers that are still the caller's."""
        if not held:
            return frozenset()
        rows = await self._transaction.fetch_own(
            "SELECT follower_id FROM reading.renew_v1($1, $2, $3)", list(held), list(held.values()), seconds
        )
        return frozenset(row["follower_id"] for row in rows)

    async def release(self, follower_id: int, fence: int) -> None:
        """Give a lease back."""
        await self._value("SELECT reading.release_v1($1, $2)", follower_id, fence)

    async def fail(self, follower_id: int, fence: int, failure: Failure) -> bool:
        """Note the event that stops one; return whether the fence is the newest."""
        values = (follower_id, fence, failure.number, failure.event_type, failure.error, failure.trace)
        return bool(await self._value("SELECT reading.fail_v1($1, $2, $3, $4, $5, $6)", *values))

    async def diverge(self, follower_id: int, fence: int) -> bool:
        """Note that the log was rewritten behind one; return whether the fence is the newest."""
        return bool(await self._value("SELECT reading.diverge_v1($1, $2)", follower_id, fence))

    async def stop_diverged(self, follower_id: int, fence: int, *, from_number: int, error: str) -> bool:
        """Stop one behind which the log was rewritten; return whether the fence is the newest."""
        values = (follower_id, fence, from_number, error)
        return bool(await self._value("SELECT reading.diverge_v2($1, $2, $3, $4)", *values))

    async def move(self, follower_id: int, to: Position, *, head: int, by: str) -> bool:
        """Have one go on at a position, whatever stopped or paused it; return whether there is one."""
        return bool(
            await self._value("SELECT reading.move_v1($1, $2, $3, $4, $5)", follower_id, to.number, to.token, head, by)
        )

    async def pause(self, name: FollowerName, *, paused: bool) -> int:
        """Pause those of a name, or have them go on, past no event; return how many there are."""
        values = (*name.parts, paused)
        return int(await self._value("SELECT reading.pause_v1($1, $2, $3, $4)", *values))

    async def skip(self, follower_id: int, number: int, *, by: str, reason: str) -> bool:
        """Leave out the event that stops one; return whether it is this event that does."""
        return bool(await self._value("SELECT reading.skip_v1($1, $2, $3, $4)", follower_id, number, by, reason))

    async def skipped(self, name: FollowerName, version: int) -> Sequence[Skipped]:
        """Return the events that are left out in a version, in order."""
        rows = await self._transaction.fetch_own(
            "SELECT number, event_type, error, reason, skipped_by, skipped_at FROM reading.skipped "  # noqa: S608  the same
            f"{_OF_NAME} AND version = $4 ORDER BY number",
            *name.parts,
            version,
        )
        return [Skipped(**row) for row in rows]

    async def make_schema(self, name: str) -> str:
        """Make a schema if there is none; return who owns it."""
        return str(await self._value("SELECT reading.make_schema_v1($1)", name))

    async def _rows(self, source: str, *values: object) -> list[FollowerRow]:
        rows = await self._transaction.fetch_own(f"SELECT {_COLUMNS} FROM {source}", *values)  # noqa: S608  constants
        return [FollowerRow.of(row) for row in rows]

    async def _value(self, sql: str, *values: object) -> Any:
        (row,) = await self._transaction.fetch_own(sql, *values)
        (value,) = row.values()
        return value
