"""The intake: counts the deliveries of one shard's channel, until all of them are settled."""

import asyncio

__all__ = ["Intake"]


class Intake:
    """Counts a channel's deliveries, so that the channel is closed only when none is in progress.

    Attributes:
        shard: Number of the shard that they come from.
        is_closing: Whether no more deliveries are taken; those not begun may be left to the close of the channel.
    """

    __slots__ = ("_count", "_empty", "is_closing", "shard")

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self.is_closing = False
        self._count = 0
        self._empty = asyncio.Event()
        self._empty.set()

    def begin(self) -> None:
        """Count a delivery that arrived."""
        self._count += 1
        self._empty.clear()

    def end(self) -> None:
        """Count a delivery that has ended."""
        self._count -= 1
        if not self._count:
            self._empty.set()

    def give_up(self) -> None:
        """Stop waiting for deliveries. The close of the channel requeues them."""
        self.is_closing = True
        self._empty.set()

    async def emptied(self) -> None:
        """Wait until every delivery has ended, or ``give_up`` was called."""
        await self._empty.wait()
