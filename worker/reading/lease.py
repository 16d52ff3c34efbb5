"""Leases: which process may write for a follower, and the checkpoint that it may move under the lease."""

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
"""How long a lease is valid after its last renewal, in seconds. Another process takes over at most a tick later."""

TICK_SECONDS = 0.5
"""How often leases are renewed, and free ones taken, in seconds."""

IDLE_SECONDS = 2
"""Seconds after which the server ends an idle transaction: a frozen process blocks others no longer than that."""


_LOCK_TIMEOUT = "200ms"


class LeaseLost(Exception):
    """Raised when another process has the lease, or the follower is paused or gone: nothing was written."""


class Candidate:
    """A process that takes free leases.

    A lease is free when it has expired by the server's clock. It is also free when this process has seen it unchanged
    for as long as a lease is valid, by its own clock: the server's clock may have been set back.

    Args:
        owner: Name of the process; by default made of host, process number and a random part.
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, owner: str | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        # A process in a container may always have the same number.
        self._owner = owner or f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)}"
        self._clock = clock
        self._seen: dict[int, tuple[tuple[int, float], float]] = {}

    async def take(self, session: Session, row: FollowerRow) -> int | None:
        """Take a follower's lease; return its fence, or None if it is not free.

        Args:
            session: A session with the database.
            row: The follower's row, read just before.

        Raises:
            EventStoreError: The database cannot be reached or written: as in ``Session.transaction``.
        """
        # If the process is frozen in the transaction, the row stays locked for no longer than this.
        limits = {"idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s", "lock_timeout": _LOCK_TIMEOUT}
        if not row.is_leased:
            async with session.transaction(**limits) as transaction:
                return await Followers(transaction).take(row.follower_id, self._owner, LEASE_SECONDS)
        if not self._is_abandoned(row):
            return None
        # A process that has locked the row is in a batch, so the lease is in use; it is tried again later.
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
    """The checkpoint of a follower, and the right to move it.

    Args:
        row: The follower's row.
        fence: The lease's fencing number.

    Attributes:
        follower_id: Number of the follower.
        fence: The lease's fencing number.
        position: The last position that is known to be committed.
    """

    def __init__(self, row: FollowerRow, fence: int) -> None:
        self.follower_id = row.follower_id
        self.fence = fence
        self.position = row.position

    async def prepared(self, transaction: Transaction) -> Prepared:
        """Prepare the statement that moves the checkpoint, in a transaction."""
        return await transaction.prepare_own(ADVANCE)

    async def move(self, prepared: Prepared, to: Position, *, head: int) -> None:
        """Move the checkpoint as the first statement of a transaction: no process can take the lease until its end.

        Args:
            prepared: The result of ``prepared``, in the transaction that writes what is derived from the events up to
                ``to``. Call ``moved`` after its commit.
            to: The position to move to.
            head: Sequence number of the log's head.

        Raises:
            LeaseLost: The lease is lost; nothing may be written.
            EventStoreError: The database cannot be reached or written: as in ``Session.transaction``.
        """
        ((moved,),) = [row.values() for row in await prepared.run(*self._values(to, head))]
        if not moved:
            raise LeaseLost

    async def check(self, session: Session) -> None:
        """Check that the lease is still the caller's, before an action that cannot be rolled back.

        Raises:
            LeaseLost: Another process has the lease, or the follower is paused or gone.
            EventStoreError: The database cannot be reached or written: as in ``Session.transaction``.
        """
        async with session.transaction() as transaction:
            ((holds,),) = [row.values() for row in await transaction.fetch_own(HOLDS, self.follower_id, self.fence)]
        if not holds:
            raise LeaseLost

    async def move_alone(self, session: Session, to: Position, *, head: int) -> None:
        """Move the checkpoint in a transaction of its own, after an action outside of the database.

        Raises:
            LeaseLost: Another process has the lease: the action may be repeated.
            EventStoreError: The database cannot be reached or written: as in ``Session.transaction``.
        """
        async with session.transaction(idle_in_transaction_session_timeout=f"{IDLE_SECONDS}s") as transaction:
            rows = await transaction.fetch_own(ADVANCE_ON_TRAIL, *self._values(to, head))
        ((moved,),) = [row.values() for row in rows]
        if not moved:
            raise LeaseLost
        self.moved(to)

    def moved(self, to: Position) -> None:
        """Note that the checkpoint was committed at a position."""
        self.position = to

    def _values(self, to: Position, head: int) -> tuple[object, ...]:
        return (self.follower_id, self.fence, self.position.number, to.number, to.token, head, LEASE_SECONDS)
