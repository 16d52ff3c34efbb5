"""Leases: which process may write for a follower, and the checkpoint that it moves as long as it may."""

import os
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from eventstore import EventStoreError, Position
from eventstore.postgres import Prepared, Session, Transaction
from worker.reading.followers import ADVANCE, ADVANCE_ON_TRAIL, HOLDS, FollowerRow, Followers

__all__ = ["IDLE_SECONDS", "LEASE_SECONDS", "TICK_SECONDS", "Candidate", "Checkpoint", "LeaseLost"]

LEASE_SECONDS = 3.0
"""For how long a lease holds since it was kept last. Another process takes over at most a tick later."""

TICK_SECONDS = 0.5
"""How often leases are kept, and looked for."""

IDLE_SECONDS = 2
"""How long the server lets a transaction rest: a process that is frozen within one holds up nobody for longer."""


_LOCK_TIMEOUT = "200ms"


class LeaseLost(Exception):
    """Raised when another process has the lease by now, or the follower is paused or gone: nothing was written."""


class Candidate:
    """A process that takes leases which are free.

    One is free when it has run out by the server's clock. It is so, too, when this process has looked on for as long as
    a lease holds, by its own clock, and nobody has kept it: the server's clock may have been set back behind it.

    Args:
        owner: What the process is called; by its host and its number unless said.
        clock: Seconds that only grow.
    """

    def __init__(self, owner: str | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        # A container's process has the same number each time.
        self._owner = owner or f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)}"
        self._clock = clock
        self._seen: dict[int, tuple[tuple[int, float], float]] = {}

    async def take(self, session: Session, row: FollowerRow) -> int | None:
        """Take a follower's lease; return its fence, or None where it is somebody's.

        Args:
            session: The database.
            row: The follower, as it was read just now.

        Raises:
            EventStoreError: As ``Session.transaction``.
        """
        # A process that is frozen in one keeps the row locked for no longer.
        limits = {"idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s", "lock_timeout": _LOCK_TIMEOUT}
        if not row.is_leased:
            async with session.transaction(**limits) as transaction:
                return await Followers(transaction).take(row.follower_id, self._owner, LEASE_SECONDS)
        if not self._is_abandoned(row):
            return None
        # Who has its row locked is in a batch: it is looked at again.
        with suppress(EventStoreError):
            async with session.transaction(**limits) as transaction:
                return await Followers(transaction).take_abandoned(row, self._owner, LEASE_SECONDS)
        return None

    def _is_abandoned(self, row: FollowerRow) -> bool:
        kept, now = (row.fence, row.lease_end), self._clock()
        before, since = self._seen.get(row.follower_id, (None, now))
        if kept != before:
            self._seen[row.follower_id] = kept, now
            return False
        return now - since > LEASE_SECONDS


class Checkpoint:
    """How far a follower has come, and the right to move it.

    Args:
        row: The follower.
        fence: The lease's number.

    Attributes:
        follower_id: The follower.
        fence: The same.
        position: How far it has come, as far as that is known to be committed.
    """

    def __init__(self, row: FollowerRow, fence: int) -> None:
        self.follower_id = row.follower_id
        self.fence = fence
        self.position = row.position

    async def prepared(self, transaction: Transaction) -> Prepared:
        """Prepare to move it in a transaction."""
        return await transaction.prepare_own(ADVANCE)

    async def move(self, prepared: Prepared, to: Position, *, head: int) -> None:
        """Move it in a transaction, as the first statement: nobody takes the lease until its end.

        Args:
            prepared: What ``prepared`` returned, in the transaction of what is derived from the events up to there.
                Call ``moved`` after its commit.
            to: Where to.
            head: How far the log is.

        Raises:
            LeaseLost: Nothing may be written.
            EventStoreError: As ``Session.transaction``.
        """
        ((moved,),) = [row.values() for row in await prepared.run(*self._values(to, head))]
        if not moved:
            raise LeaseLost

    async def check(self, session: Session) -> None:
        """See that the lease is still the caller's, before something is done that cannot be rolled back.

        Raises:
            LeaseLost: It is not.
            EventStoreError: As ``Session.transaction``.
        """
        async with session.transaction() as transaction:
            ((holds,),) = [row.values() for row in await transaction.fetch_own(HOLDS, self.follower_id, self.fence)]
        if not holds:
            raise LeaseLost

    async def move_alone(self, session: Session, to: Position, *, head: int) -> None:
        """Move it in a transaction of its own, behind what was done outside of the database.

        Raises:
            LeaseLost: The lease is somebody else's by now: what was done may be done again.
            EventStoreError: As ``Session.transaction``.
        """
        async with session.transaction(idle_in_transaction_session_timeout=f"{IDLE_SECONDS}s") as transaction:
            rows = await transaction.fetch_own(ADVANCE_ON_TRAIL, *self._values(to, head))
        ((moved,),) = [row.values() for row in rows]
        if not moved:
            raise LeaseLost
        self.moved(to)

    def moved(self, to: Position) -> None:
        """Take note of a commit."""
        self.position = to

    def _values(self, to: Position, head: int) -> tuple[object, ...]:
        return (self.follower_id, self.fence, self.position.number, to.number, to.token, head, LEASE_SECONDS)
