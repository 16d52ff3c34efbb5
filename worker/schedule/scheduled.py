"""Scheduled commands: the rows that wait for their time, and the operations on them."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from eventstore.postgres import Schema, Session, Transaction
from worker.reading.followers import FollowerName, Followers
from worker.reading.lease import IDLE_SECONDS, LEASE_SECONDS, Candidate, LeaseLost

__all__ = ["Cancelled", "Due", "Lease", "ScheduleStatus", "Scheduled", "ScheduledCommands", "Stored", "Waiting"]

KIND = "schedule"
_NAME = "commands"

Stored = Literal["stored", "cancelled", "too_far"]
"""The result of storing a command: stored, ``cancelled`` before, or ``too_far``: more than ten years ahead."""
Cancelled = Literal["cancelled", "being_sent", "unknown"]
"""The result of a cancellation: the command waited; it was too late; or none waits, and none will."""

_PUT = "SELECT id, verdict FROM schedule.put_v1($1, $2, $3, $4, $5, $6, $7, $8, $9)"
_CANCEL = "SELECT id, verdict FROM schedule.cancel_v1($1, $2)"
_CLAIM = "SELECT * FROM schedule.claim_v1($1, $2, $3, $4, $5, $6, $7)"
_SENT = "SELECT schedule.sent_v1($1, $2, $3)"
_REFUSED = "SELECT schedule.refused_v1($1, $2, $3, $4, $5)"
# For refused commands, the time that they were due at counts, not that of the next try.
_OUTLOOK = """
SELECT one.moment, extract(epoch FROM n.send_at - one.moment)::float8 AS next_in,
    greatest(extract(epoch FROM one.moment - least(n.due_at, r.due_at))::float8, 0) AS late, r.error
FROM (SELECT clock_timestamp() AS moment) AS one
LEFT JOIN (
    SELECT c.send_at, c.due_at FROM schedule.commands c
    WHERE c.domain = $1 AND c.send_at > coalesce($2::timestamptz, '-infinity') ORDER BY c.send_at LIMIT 1
) n ON true
LEFT JOIN (
    SELECT c.due_at, c.error FROM schedule.commands c WHERE c.domain = $1 AND c.error IS NOT NULL
    ORDER BY c.due_at LIMIT 1
) r ON true
"""
_WAITING = """
SELECT domain, command_id, command_type, due_at, received_at, claimed IS NOT NULL AS is_being_sent, error
FROM schedule.commands WHERE $1::text[] IS NULL OR domain = ANY ($1) ORDER BY due_at, domain, command_id LIMIT $2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to write for a domain's schedule.

    Attributes:
        follower_id: Number of the row that is leased.
        fence: The lease's fencing number.
    """

    follower_id: int
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """A command that is to be sent later.

    Attributes:
        command_id: Its id.
        command_type: Its name.
        due_at: When it is to be sent, with a time zone.
        properties: Its AMQP properties, encoded.
        body: Its body.
    """

    command_id: UUID
    command_type: str
    due_at: datetime
    properties: bytes
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A command that is to be sent now.

    Attributes:
        command_id: Its id.
        revision: Number of the message with this id: a later one replaces an earlier one.
        command_type: Its name.
        properties: Its AMQP properties, encoded.
        body: Its body.
    """

    command_id: UUID
    revision: int
    command_type: str
    properties: bytes
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleStatus:
    """What a domain's schedule has to do next.

    Attributes:
        moment: The server's time when it was read.
        next_in: In how many seconds the next command is to be sent; None if none waits.
        late: For how many seconds the oldest due command has not been sent; 0 if none is due.
        error: Why the broker refused the command that has waited longest; None if it refused none.
    """

    moment: datetime
    next_in: float | None
    late: float
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A command that waits, for people.

    Attributes:
        domain: Name of its domain.
        command_id: Its id.
        command_type: Its name.
        due_at: When it is to be sent.
        received_at: When it was stored.
        is_being_sent: Whether it is too late to cancel it.
        error: Why the broker refused it when it was due; None if it has not.
    """

    domain: str
    command_id: UUID
    command_type: str
    due_at: datetime
    received_at: datetime
    is_being_sent: bool
    error: str | None

    def state(self, now: datetime) -> str:
        """Return its state, for people.

        Args:
            now: The current time, with a time zone.
        """
        if self.error is not None:
            return f"refused: {self.error}"
        if self.is_being_sent:
            return "being sent"
        return "due" if self.due_at <= now else "waits"


class ScheduledCommands:
    """The rows of a database. Each method is a transaction of its own; methods may be called concurrently.

    Args:
        session: A session with the database.

    Raises:
        EventStoreError: From any method, if the database cannot be reached or written: as in ``Session.transaction``.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._turn = asyncio.Lock()

    @property
    def schema(self) -> Schema:
        """The schema of the store beside which commands wait."""
        return self._session.schema

    async def register(self, domain: str) -> None:
        """Add the row for the lease of a domain's schedule, if it is missing."""
        name = _name(domain)
        async with self._transaction() as transaction:
            await transaction.check_durable()
            followers = Followers(transaction)
            await followers.lock(name)
            if not await followers.of(name):
                await followers.add(name, version=1, layout=b"", is_current=True)

    async def take(self, domain: str, candidate: Candidate) -> Lease | None:
        """Take the lease of a domain's schedule; None if another process has it."""
        async with self._transaction() as transaction:
            rows = await Followers(transaction).of(_name(domain))
        for row in rows:
            async with self._turn:
                fence = await candidate.take(self._session, row)
            return None if fence is None else Lease(follower_id=row.follower_id, fence=fence)
        return None

    async def renew(self, lease: Lease) -> None:
        """Renew a lease.

        Raises:
            LeaseLost: Another process has it.
        """
        async with self._transaction() as transaction:
            kept = await Followers(transaction).renew({lease.follower_id: lease.fence}, LEASE_SECONDS)
        if lease.follower_id not in kept:
            raise LeaseLost

    async def release(self, lease: Lease) -> None:
        """Release a lease."""
        async with self._transaction() as transaction:
            await Followers(transaction).release(lease.follower_id, lease.fence)

    async def put(
        self, lease: Lease, domain: str, commands: Sequence[Scheduled], cancelled: Sequence[UUID] = ()
    ) -> dict[UUID, Stored]:
        """Store commands, each in place of an earlier one with its id, after cancelling others.

        Args:
            lease: The lease of the domain's schedule.
            domain: Name of the domain.
            commands: The commands to store, no id twice.
            cancelled: Ids to cancel; one that is also in ``commands`` is not stored.

        Returns:
            The result for each command that was to be stored.

        Raises:
            LeaseLost: Another process has the lease; nothing was stored or cancelled.
        """
        values = (
            [each.command_id for each in commands],
            [each.command_type for each in commands],
            [each.due_at for each in commands],
            [each.properties for each in commands],
            [each.body for each in commands],
        )
        async with self._transaction() as transaction:
            await transaction.check_durable()
            if cancelled:
                await transaction.fetch_own(_CANCEL, domain, list(cancelled))
            if not commands:
                return {}
            rows = await transaction.fetch_own(_PUT, lease.follower_id, lease.fence, LEASE_SECONDS, domain, *values)
            if not rows:
                raise LeaseLost
        return {row["id"]: row["verdict"] for row in rows}

    async def cancel(self, domain: str, command_id: UUID) -> Cancelled:
        """Cancel a command, even if the message that schedules it arrives later."""
        async with self._transaction() as transaction:
            await transaction.check_durable()
            (row,) = await transaction.fetch_own(_CANCEL, domain, [command_id])
        verdict: Cancelled = row["verdict"]
        return verdict

    async def outlook(self, domain: str, since: datetime | None = None) -> ScheduleStatus:
        """Return when there is something to send.

        Args:
            domain: Name of the domain.
            since: The time up to which the last look found nothing to send; None to look at everything.
        """
        async with self._transaction() as transaction:
            (row,) = await transaction.fetch_own(_OUTLOOK, domain, since)
        return ScheduleStatus(**row)

    async def claim(
        self, lease: Lease, domain: str, *, since: datetime | None = None, most: int, most_bytes: int
    ) -> list[Due]:
        """Claim due commands: they cannot be cancelled any more, and stay stored until ``sent``.

        Args:
            lease: The lease of the domain's schedule. If it is lost, nothing is claimed.
            domain: Name of the domain.
            since: The time up to which the last look found nothing to send, as in ``outlook``.
            most: The most commands to claim.
            most_bytes: The size of all bodies beyond which no more are claimed; one may exceed it.
        """
        async with self._transaction() as transaction:
            rows = await transaction.fetch_own(
                _CLAIM, lease.follower_id, lease.fence, LEASE_SECONDS, domain, since, most, most_bytes
            )
        return [
            Due(
                command_id=row["id"],
                revision=row["its_revision"],
                command_type=row["its_type"],
                properties=row["its_properties"],
                body=row["its_body"],
            )
            for row in rows
        ]

    async def sent(self, domain: str, commands: Sequence[Due]) -> None:
        """Remove commands that the broker has confirmed, unless a later message with the same id was stored."""
        async with self._transaction() as transaction:
            await transaction.fetch_own(_SENT, domain, *_identities(commands))

    async def refused(self, domain: str, commands: Mapping[Due, str], *, again_in: float) -> None:
        """Note why the broker refused commands, and try them again in ``again_in`` seconds."""
        async with self._transaction() as transaction:
            errors = list(commands.values())
            await transaction.fetch_own(_REFUSED, domain, *_identities(list(commands)), errors, again_in)

    async def waiting(self, domains: Sequence[str] | None, most: int) -> list[Waiting]:
        """Return the commands that wait, in the order in which they are due.

        Args:
            domains: Names of the domains; None for all.
            most: The most commands to return.
        """
        async with self._transaction() as transaction:
            rows = await transaction.fetch_own(_WAITING, None if domains is None else list(domains), most)
        return [Waiting(**row) for row in rows]

    async def close(self) -> None:
        """Close the connection. Safe to repeat."""
        await self._session.close()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        # If the process is frozen in a transaction, the server ends it soon: others wait for its rows.
        limit = {"idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s"}
        async with self._turn, self._session.transaction(**limit) as transaction:
            yield transaction


def _name(domain: str) -> FollowerName:
    return FollowerName(kind=KIND, domain=domain, name=_NAME)


def _identities(commands: Sequence[Due]) -> tuple[list[Any], list[Any]]:
    return [each.command_id for each in commands], [each.revision for each in commands]
