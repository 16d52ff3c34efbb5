"""The interface to the store while one caller holds its lock."""

from collections.abc import Sequence
from typing import Protocol

from eventstore.append import Append
from eventstore.errors import EventStoreError
from eventstore.filter import Filter
from eventstore.position import Position
from eventstore.receipt import Receipt
from eventstore.stream import EventStream

__all__ = ["LONGEST_HELD_READ", "Held"]

LONGEST_HELD_READ = 4096
"""How many events below the head a read under the lock may begin: all other appends wait while it runs."""


class Held(Protocol):
    """The store while the caller holds its lock: no other append is recorded. See ``EventStore.exclusive``.

    Not safe for concurrent use by several tasks.
    """

    @property
    def position(self) -> Position:
        """The head of the log. It does not change until ``append_chain``."""
        ...

    async def query_many(
        self,
        filters: Sequence[Filter],
        *,
        after: Sequence[Position] | None = None,
        known: Sequence[int] = (),
        most: int | None = None,
    ) -> list[EventStream]:
        """Read the events of several filters under the lock, as ``EventStore.query_many`` does.

        Args:
            filters: The filters to read; as in ``EventStore.query_many``.
            after: For each filter the position from which it is read, as in ``EventStore.query_many``. Without it each
                filter is read from its bound on the number, or from the start of the log.
            known: For each filter the number of its events up to that position; as in ``EventStore.query_many``.
            most: The largest number of events wanted of one filter; as in ``EventStore.query_many``.

        Raises:
            TooFarBehind: A filter would be read from more than ``LONGEST_HELD_READ`` events below the head. No query
                was sent.
            HistoryDiverged: A position is not in this store's history.
            HoldExpired: The time limit passed, or the connection broke, before the answer.
            InvalidRequest: The numbers of filters, positions and ``known`` differ, ``most`` is negative, or
                ``append_chain`` was called before.
        """
        ...

    async def append_chain(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        """Record a chain of appends and release the lock; this can be called once.

        Each append is checked as by ``EventStore.append_chain``, from positions read here or before. If the connection
        breaks during the commit, or the database refuses a value of one of them, the chain is sent once more without
        the lock, as by ``EventStore.append_chain``: appends that were recorded return their receipts, and the others
        compete with those of other callers.

        Raises:
            HoldExpired: The time limit passed, or the connection broke, before the append. Nothing is recorded.
            InvalidRequest: ``append_chain`` was called before, or the chain is invalid, as in
                ``EventStore.append_chain``. Nothing is recorded.

        If the call is cancelled, the appends may still take effect; append each again with its key to find out.
        """
        ...
