"""Leases: which process may write for a follower, and the checkpoint that it moves as long as it may."""

from eventstore import Position
from eventstore.postgres import Prepared, Transaction
from worker.reading.followers import ADVANCE, FollowerRow

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
        return await transaction.prepare(ADVANCE)

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
        values = (self.follower_id, self.fence, self.position.number, to.number, to.token, head, LEASE_SECONDS)
        ((moved,),) = [row.values() for row in await prepared.run(*values)]
        if not moved:
            raise LeaseLost

    def moved(self, to: Position) -> None:
        """Take note of a commit."""
        self.position = to
