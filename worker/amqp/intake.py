"""The intake: what one channel has handed to us of its shard, until all of it is settled."""

import asyncio

__all__ = ["Intake"]


class Intake:
    """Counts a channel's deliveries, so that the channel is closed only when none is under way.

    Attributes:
        shard: Whose messages they are.
        is_closing: Whether no more are taken, and what has not begun may be left to the close of the channel.
    """

    __slots__ = ("_count", "_empty", "is_closing", "shard")

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self.is_closing = False
        self._count = 0
        self._empty = asyncio.Event()
        self._empty.set()

    def begin(self) -> None:
        """Count a delivery."""
        self._count += 1
        self._empty.clear()

    def end(self) -> None:
        """Count the end of a delivery."""
        self._count -= 1
        if not self._count:
            self._empty.set()

    def give_up(self) -> None:
        """Wait for none of the deliveries any more. The close puts them back."""
        self.is_closing = True
        self._empty.set()

    async def emptied(self) -> None:
        """Wait until every delivery has ended, or was given up."""
        await self._empty.wait()
