"""Leases: which process may write for a follower, and the checkpoint that it moves as long as it may."""

from eventstore import Position
from eventstore.postgres import Prepared, Session, Transaction
from worker.reading.followers import ADVANCE, ADVANCE_ON_TRAIL, HOLDS, FollowerRow

__all__ = ["IDLE_SECONDS", "LEASE_SECONDS", "TICK_SECONDS", "Checkpoint", "LeaseLost"]

LEASE_SECONDS = 3.0
"""For how long a lease holds since it was kept last. Another process takes over at most a tick later."""

TICK_SECONDS = 0.5
"""How often leases are kept, and looked for."""

IDLE_SECONDS = 2
"""How long the server lets a transaction rest: a process that is frozen within one holds up nobody for longer."""


class LeaseLost(Exception):
    """Raised when another process has the lease by now, or the follower is paused or gone: nothing was written."""


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
