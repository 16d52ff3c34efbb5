"""Room: the partitions that the log will grow into, made before it gets there."""

import asyncio
import logging

from eventstore.errors import EventStoreError
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.statements import statement

__all__ = ["Room"]

_log = logging.getLogger(__name__)

_SECONDS = 30.0
# After so many events of a log that is one table, or of one that got no partition, it is asked for again. The smallest
# partition takes more.
_ASK_EVERY = 5_000


class Room:
    """Has partitions made ahead of the log's end, by whoever appends. Of a log that is one table it hardly asks.

    Args:
        primary: The server that appends go to.
    """

    def __init__(self, primary: Pool) -> None:
        self._primary = primary
        self._due = 0
        self._number = 0
        self._last: int | None = None
        self._size = 0
        self._making: asyncio.Task[None] | None = None

    @property
    def partitions(self) -> float | None:
        """How many further partitions there are, with what is left of the present one; None for one table."""
        return None if self._last is None else (self._last - self._number) / self._size

    def note(self, number: int) -> None:
        """Note how far the log has come, and begin to make room if it is time."""
        self._number = max(number, self._number)
        if number >= self._due and self._making is None:
            self._making = asyncio.create_task(self._make_ahead(number))

    async def make(self, needed: int = 0) -> None:
        """Make room, if it is time.

        Args:
            needed: For how many events that are about to be recorded; 0 for those that may come some day, for which
                nobody waits.

        Raises:
            EventStoreError: As ``translate`` says; there may be no room.
        """
        rows = await self._primary.fetch(statement("extend"), [needed], seconds=_SECONDS)
        if rows:
            self._due, self._last, self._size = rows[0]
        else:
            self._due, self._last = self._number + _ASK_EVERY, None

    async def close(self) -> None:
        """Stop making room; what the server has begun, it ends."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)

    async def _make_ahead(self, number: int) -> None:
        try:
            await self.make()
        except EventStoreError as error:
            self._due = number + _ASK_EVERY
            _log.warning("no further partition was made for the log, it is tried again soon: %s", error)
        finally:
            self._making = None
