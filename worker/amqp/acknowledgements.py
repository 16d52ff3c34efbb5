"""Acknowledgements: acknowledges deliveries, with one frame for all up to the first that is unsettled."""

import asyncio
from typing import Protocol

from worker.amqp.connection import WireChannel
from worker.amqp.refusals import LOST
from worker.counters import End

__all__ = ["Acknowledgements"]


class _Delivery(Protocol):
    tag: int

    def end(self, how: End) -> None:
        """Note the result of the delivery."""


class Acknowledgements:
    """Acknowledges the deliveries of one channel.

    Delivery tags start anew on every channel, so each channel has an instance of its own.

    Args:
        wire: The channel that the deliveries came on.
    """

    def __init__(self, wire: WireChannel) -> None:
        self.wire = wire
        # In ascending order of tags, which is the order of arrival.
        self._unsettled: dict[int, None] = {}
        self._done: dict[int, tuple[_Delivery, End]] = {}
        # One flush at a time: while a frame waits to be written, another must not cover its tags.
        self._flushing: asyncio.Task[None] | None = None
        self._is_due = False

    def begin(self, tag: int) -> None:
        """Note a new delivery, in order of arrival."""
        self._unsettled[tag] = None

    def acknowledge(self, delivery: _Delivery, end: End) -> None:
        """Acknowledge a delivery, together with all others that are done in this turn of the loop.

        Args:
            delivery: The delivery; its ``end`` is called when the frame was handed to the connection.
            end: The result to note; ``End.LOST_CHANNEL`` is noted instead if the channel is gone.
        """
        self._done[delivery.tag] = (delivery, end)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._begin_flush)

    def forget(self, tag: int) -> None:
        """Note that a delivery was settled otherwise. Its frame must be sent already: a later one may cover its tag."""
        self._unsettled.pop(tag, None)

    async def flush(self) -> None:
        """Wait until every acknowledgement has been handed to the connection."""
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
            # Deliveries beyond an unsettled one must not wait for it: one slow command would fill the prefetch.
            for tag in done:
                if tag > last:
                    await self.wire.basic_ack(tag, wait=False)
            lost = False
        except LOST:
            pass
        finally:
            # Also on cancellation, while the broker does not read.
            for delivery, end in done.values():
                delivery.end(End.LOST_CHANNEL if lost else end)
