"""Room: the partitions ahead of the log's end, created before appends reach them."""

import asyncio
import logging

from eventstore.errors import EventStoreError
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.statements import statement

__all__ = ["Room"]

_log = logging.getLogger(__name__)

_SECONDS = 30.0
# The number of events after which a log without partitions, or one whose new partition failed, is asked again; below
# the size of the smallest partition.
_ASK_EVERY = 5_000


class Room:
    """Creates partitions ahead of the log's end, in the appending process. It rarely asks about an unpartitioned log.

    Args:
        primary: The pool of the primary.
    """

    def __init__(self, primary: Pool) -> None:
        self._primary = primary
        self._due = 0
        self._number = 0
        self._last: int | None = None
        self._size = 0
        self._making: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def partitions(self) -> float | None:
        """The number of partitions left, with the unused part of the present one; None for a log without partitions."""
        return None if self._last is None else (self._last - self._number) / self._size

    def note(self, number: int) -> None:
        """Record the log's new last number, and start creating partitions if they are due."""
        self._number = max(number, self._number)
        if number >= self._due and self._making is None and not self._is_closed:
            self._making = asyncio.create_task(self._make_ahead())

    async def make(self, needed: int = 0) -> None:
        """Create partitions if they are due.

        Args:
            needed: The number of events about to be recorded; by default 0 for future events that no append waits for.

        Raises:
            EventStoreError: The statement failed, as ``translate`` classifies it; there may be no room.
        """
        rows = await self._primary.fetch(statement("extend"), [needed], seconds=_SECONDS)
        if rows:
            self._due, self._last, self._size = rows[0]
        else:
            self._due, self._last = self._number + _ASK_EVERY, None

    async def close(self) -> None:
        """Stop creating partitions; the server finishes what it has begun. Appends may still end afterwards."""
        self._is_closed = True
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)

    async def _make_ahead(self) -> None:
        try:
            # Appends go on meanwhile, and the last of them may be past the new due number: no later one would note it.
            # Where another process is making partitions, the due number stays, and the next append asks again.
            due = -1
            while due < self._due <= self._number:
                due = self._due
                await self.make()
        except EventStoreError as error:
            self._due = self._number + _ASK_EVERY
            _log.warning("the next partition of the log could not be made, and will be tried again soon: %s", error)
        finally:
            self._making = None
