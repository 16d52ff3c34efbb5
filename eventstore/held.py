"""Held: the store while one caller has its lock."""

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
"""How far below the head a read under the lock may begin: everybody waits while it walks from there."""


class Held(Protocol):
    """The store's lock in one caller's hands: nothing is recorded meanwhile but what it appends. See ``exclusive``.

    Not to be shared between tasks: one operation after another.
    """

    @property
    def position(self) -> Position:
        """The head of the log. It stays where it is until ``append_chain``."""
        ...

    async def query_many(
        self,
        filters: Sequence[Filter],
        *,
        after: Sequence[Position] | None = None,
        known: Sequence[int] = (),
        most: int | None = None,
    ) -> list[EventStream]:
        """Read what several filters match, as ``EventStore.query_many`` does, under the lock.

        Args:
            filters: As there.
            after: As there; without it a filter is read from its bound on the number, or from the start.
            known: As there.
            most: As there.

        Raises:
            TooFarBehind: A filter would be read from more than ``LONGEST_HELD_READ`` events below the head. Nothing was
                asked.
            HistoryDiverged: A position is not in this store's history.
            HoldExpired: The hold ended before the answer.
            InvalidRequest: As there; or the hold is used up.
        """
        ...

    async def append_chain(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        """Record appends that were decided one on top of another, and let go of the lock: this can be done once.

        Each is judged as by ``EventStore.append_chain``, from the positions that were read here or before. If the
        connection breaks while they are being committed, or the database refuses a value of one of them, they are sent
        once more as by ``EventStore.append_chain``, without the lock: what was recorded is answered from its receipt,
        and the rest is judged beside everybody else's.

        Raises:
            HoldExpired: The hold ended before. Nothing is recorded.
            InvalidRequest: As there; or the hold is used up. Nothing is recorded.

        On cancellation the appends may still take effect; append each again with its key to know.
        """
        ...
