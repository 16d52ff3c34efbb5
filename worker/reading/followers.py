"""Followers: the rows with the checkpoint of each follower, and the process that may write for it."""

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
"""Moves a checkpoint: see the function. Its parameters are the follower, the fence, the current number, the new number
and token, the log's head, and the seconds of the lease."""

ADVANCE_ON_TRAIL = "SELECT reading.advance_v2($1, $2, $3, $4, $5, $6, $7)"
"""Moves a checkpoint as ``ADVANCE`` does, with the same parameters, and keeps the last positions."""

HOLDS = "SELECT reading.holds_v1($1, $2)"
"""Checks whether a process may still act for a follower. Its parameters are the follower and the fence."""


# The lease is checked again: it is not taken if its owner has renewed it since.
_TAKE_ABANDONED = (
    "SELECT reading.release_v1(f.follower_id, f.fence), reading.take_v1(f.follower_id, $4, $5) AS fence "
    "FROM reading.followers f "
    "WHERE f.follower_id = $1 AND f.fence = $2 AND extract(epoch FROM f.leased_until)::float8 = $3"
)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class FollowerName:
    """The name of a projection, reaction or relay, in any version.

    Attributes:
        kind: Its kind, such as ``projection``.
        domain: The domain's name.
        name: Its own name.
    """

    kind: str
    domain: str
    name: str

    @property
    def parts(self) -> tuple[str, str, str]:
        """The three values, as columns of its row."""
        return self.kind, self.domain, self.name

    def __str__(self) -> str:
        return f"{self.domain}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The event that stops a follower.

    Attributes:
        number: Sequence number of the event.
        event_type: Type of the event; empty if the cause is not an event but a rewritten log.
        error: What went wrong, in a sentence.
        trace: The traceback.
        at: When it was recorded; None if it is not recorded yet.
        token: The event's token, as far as it is recorded; None if not, or if the cause is not an event.
    """

    number: int
    event_type: str
    error: str
    trace: str
    at: datetime | None = None
    token: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerRow:
    """The row of a follower.

    Attributes:
        follower_id: Number of the follower.
        name: Name of its projection, reaction or relay.
        version: Version of that.
        layout: Hash of the form of its tables.
        is_current: Whether readers see it; if not, it will replace the one that they see.
        position: The checkpoint: up to where it has processed the log.
        head: Sequence number of the log's head when the checkpoint was moved last.
        moved_at: When the checkpoint was moved last; None if it never was.
        owner: The process that has the lease, or had it last.
        fence: The lease's fencing number.
        is_leased: Whether the lease is valid, by the server's clock.
        lease_end: When the lease ends by that clock, in seconds since the epoch.
        paused_at: Since when it is paused by a person; None if it is not.
        failure: The event that stops it; None if none does.
        diverged_at: When it was found to be derived from a rewritten history; None if it is not.
        diverged_from: Sequence number of the first event that differs from what it has followed; None if that does not
            matter.
        trail: Its last positions, the newest first; empty for a projection.
        now: The server's time when the row was read.
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
        """Make it of a row of the database."""
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
    """An event that a person has had skipped.

    Attributes:
        number: Sequence number of the event.
        event_type: Type of the event.
        error: The error that it failed with.
        reason: Why it was skipped.
        skipped_by: Name of the person who decided it.
        skipped_at: When it was decided.
        token: The event's token; None if an older build recorded it.
    """

    number: int
    event_type: str
    error: str
    reason: str
    skipped_by: str
    skipped_at: datetime
    token: int | None = None


class Followers:
    """The rows of followers, in a transaction. Everything is written by database functions, which keep the invariants.

    Raises:
        EventStoreError: From any method, if the database cannot be reached or written: as in ``Session.transaction``.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def lock(self, name: FollowerName) -> None:
        """Prevent others from adding, replacing or retiring followers of a name, until the end of the transaction."""
        await self._value("SELECT reading.lock_v1($1, $2, $3)", *name.parts)

    async def all(self, *kinds: str) -> list[FollowerRow]:
        """Return all rows of some kinds."""
        return await self._rows(f"reading.followers WHERE kind = ANY ($1) {_IN_ORDER}", list(kinds))

    async def every(self) -> list[FollowerRow]:
        """Return all rows of all kinds."""
        return await self._rows(f"reading.followers {_IN_ORDER}")

    async def of(self, name: FollowerName) -> list[FollowerRow]:
        """Return the rows of a name, the current one first."""
        return await self._rows(f"reading.followers {_OF_NAME} {_IN_ORDER}", *name.parts)

    async def hold(self, name: FollowerName) -> list[FollowerRow]:
        """Return the rows of a name, and keep their checkpoints from moving until the end of the transaction."""
        return await self._rows("reading.held_v1($1, $2, $3)", *name.parts)

    async def add(self, name: FollowerName, *, version: int, layout: bytes, is_current: bool) -> int:
        """Add a follower at the start of the log, and return its number."""
        values = (*name.parts, version, layout, is_current)
        return int(await self._value("SELECT reading.add_v1($1, $2, $3, $4, $5, $6)", *values))

    async def add_at(self, name: FollowerName, *, version: int, position: Position, head: int) -> int:
        """Add a follower that begins at a position, and return its number."""
        values = (*name.parts, version, position.number, position.token, head)
        return int(await self._value("SELECT reading.add_v2($1, $2, $3, $4, $5, $6, $7)", *values))

    async def retire(self, follower_id: int) -> None:
        """Remove a follower; its tables are dropped later."""
        await self._value("SELECT reading.retire_v1($1)", follower_id)

    async def promote(self, follower_id: int, fence: int) -> bool:
        """Make a follower the current one of its name; return whether the fence was the newest."""
        return bool(await self._value("SELECT reading.promote_v1($1, $2)", follower_id, fence))

    async def retired(self) -> list[int]:
        """Return the numbers of removed followers whose tables are not dropped yet."""
        rows = await self._transaction.fetch_own("SELECT follower_id FROM reading.retired ORDER BY follower_id")
        return [row["follower_id"] for row in rows]

    async def forget(self, follower_id: int) -> None:
        """Note that the tables of a removed follower are dropped."""
        await self._value("SELECT reading.forget_v1($1)", follower_id)

    async def take(self, follower_id: int, owner: str, seconds: float) -> int | None:
        """Take a free lease for some seconds; return its fence, or None if it is not free."""
        fence: int | None = await self._value("SELECT reading.take_v1($1, $2, $3)", follower_id, owner, seconds)
        return fence

    async def take_abandoned(self, row: FollowerRow, owner: str, seconds: float) -> int | None:
        """Take a lease that is valid by the server's clock but is not renewed; None if its owner has renewed it.

        Call it in a transaction with a ``lock_timeout``: a process that writes for the follower has locked the row.
        """
        # The server reads the statement before it runs: a process that is frozen in between locks no row.
        statement = await self._transaction.prepare(_TAKE_ABANDONED)
        rows = await statement.run(row.follower_id, row.fence, row.lease_end, owner, seconds)
        return rows[0]["fence"] if rows else None

    async def renew(self, held: Mapping[int, int], seconds: float) -> frozenset[int]:
        """Renew leases, given as fence by follower; return the followers whose lease is still the caller's."""
        if not held:
            return frozenset()
        rows = await self._transaction.fetch_own(
            "SELECT follower_id FROM reading.renew_v1($1, $2, $3)", list(held), list(held.values()), seconds
        )
        return frozenset(row["follower_id"] for row in rows)

    async def release(self, follower_id: int, fence: int) -> None:
        """Release a lease."""
        await self._value("SELECT reading.release_v1($1, $2)", follower_id, fence)

    async def fail(self, follower_id: int, fence: int, failure: Failure) -> bool:
        """Note the event that stops a follower; return whether the fence was the newest."""
        values = (follower_id, fence, failure.number, failure.token, failure.event_type, failure.error, failure.trace)
        return bool(await self._value("SELECT reading.fail_v2($1, $2, $3, $4, $5, $6, $7)", *values))

    async def diverge(self, follower_id: int, fence: int) -> bool:
        """Note that the log was rewritten behind a follower; return whether the fence was the newest."""
        return bool(await self._value("SELECT reading.diverge_v1($1, $2)", follower_id, fence))

    async def stop_diverged(self, follower_id: int, fence: int, *, from_number: int, error: str) -> bool:
        """Stop a follower behind which the log was rewritten; return whether the fence was the newest."""
        values = (follower_id, fence, from_number, error)
        return bool(await self._value("SELECT reading.diverge_v2($1, $2, $3, $4)", *values))

    async def move(self, follower_id: int, to: Position, *, head: int, by: str) -> bool:
        """Make a follower go on from a position, whatever stopped or paused it; return whether it exists."""
        return bool(
            await self._value("SELECT reading.move_v1($1, $2, $3, $4, $5)", follower_id, to.number, to.token, head, by)
        )

    async def pause(self, name: FollowerName, *, paused: bool) -> int:
        """Pause or resume the followers of a name, without skipping an event; return how many there are."""
        values = (*name.parts, paused)
        return int(await self._value("SELECT reading.pause_v1($1, $2, $3, $4)", *values))

    async def skip(self, follower_id: int, number: int, *, by: str, reason: str) -> bool:
        """Skip the event that stops a follower; return whether it is this event that does."""
        return bool(await self._value("SELECT reading.skip_v1($1, $2, $3, $4)", follower_id, number, by, reason))

    async def skipped(self, name: FollowerName, version: int) -> Sequence[Skipped]:
        """Return the events that are skipped in a version, in order."""
        rows = await self._transaction.fetch_own(
            "SELECT number, event_type, error, reason, skipped_by, skipped_at, token FROM reading.skipped "  # noqa: S608  the same
            f"{_OF_NAME} AND version = $4 ORDER BY number",
            *name.parts,
            version,
        )
        return [Skipped(**row) for row in rows]

    async def make_schema(self, name: str) -> str:
        """Make a schema if it does not exist; return its owner."""
        return str(await self._value("SELECT reading.make_schema_v1($1)", name))

    async def _rows(self, source: str, *values: object) -> list[FollowerRow]:
        rows = await self._transaction.fetch_own(f"SELECT {_COLUMNS} FROM {source}", *values)  # noqa: S608  constants
        return [FollowerRow.of(row) for row in rows]

    async def _value(self, sql: str, *values: object) -> Any:
        (row,) = await self._transaction.fetch_own(sql, *values)
        (value,) = row.values()
        return value
