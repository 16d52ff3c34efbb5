"""Acknowledgements: tells the broker what is done, with one frame for as much as there is without a gap."""

import asyncio
from typing import Protocol

from worker.amqp.connection import WireChannel
from worker.amqp.refusals import LOST
from worker.counters import End

__all__ = ["Acknowledgements"]


class _Delivery(Protocol):
    tag: int

    def end(self, how: End) -> None:
        """Note how it ended."""


class Acknowledgements:
    """Acknowledges the deliveries of one channel.

    Tags begin anew on every channel, so that each channel has acknowledgements of its own.

    Args:
        wire: The channel.
    """

    def __init__(self, wire: WireChannel) -> None:
        self.wire = wire
        # In the order of their tags, which is that in which they came.
        self._unsettled: dict[int, None] = {}
        self._done: dict[int, tuple[_Delivery, End]] = {}
        # One at a time: while a frame waits for room, another must not cover what it names.
        self._flushing: asyncio.Task[None] | None = None
        self._is_due = False

    def begin(self, tag: int) -> None:
        """Note a delivery that came in."""
        self._unsettled[tag] = None

    def acknowledge(self, delivery: _Delivery, end: End) -> None:
        """Acknowledge a delivery, together with others that are done in this turn of the loop.

        Args:
            delivery: That.
            end: How it ended; its channel is lost if the broker cannot be told any more.
        """
        self._done[delivery.tag] = (delivery, end)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._begin_flush)

    def forget(self, tag: int) -> None:
        """Note that a delivery was settled in another way. Its frame must be on its way: what follows may cover it."""
        self._unsettled.pop(tag, None)

    async def flush(self) -> None:
        """Wait until everything that is done was handed to the connection."""
        self._begin_flush()
        if self._flushing is not None:
            await self._flushing

    def _begin_flush(self) -> None:
        self._is_due = False
        if self._done and (self._flushing is None or self._flushing.done()):
            self._flushing = asyncio.get_running_loop().create_task(self._flush_all())

    async def _flush_all(self) -> None:
        while self._done:
            await self._flush()

    async def _flush(self) -> None:
        done, self._done = self._done, {}
        last = 0
        for tag in self._unsettled:
            if tag not in done:
                break
            last = tag
        for tag in done:
            self._unsettled.pop(tag, None)
        lost = True
        try:
            if last:
                await self.wire.basic_ack(last, multiple=True, wait=False)
            # What lies beyond a gap must not wait for it: one slow command would fill the prefetch.
            for tag in done:
                if tag > last:
                    await self.wire.basic_ack(tag, wait=False)
            lost = False
        except LOST:
            pass
        finally:
            # Also when nobody waits any more for a broker that does not read.
            for delivery, end in done.values():
                delivery.end(End.LOST_CHANNEL if lost else end)
