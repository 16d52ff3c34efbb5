"""The shard channel: consumes one shard over a channel of its own, from its first delivery to its close."""

import asyncio
import logging
from collections.abc import Callable

from aio_pika.abc import AbstractChannel

from worker.amqp.acknowledgements import Acknowledgements
from worker.amqp.connection import Link, WireChannel
from worker.amqp.delivery import Delivery
from worker.amqp.delivery_reader import Received, passed_by
from worker.amqp.intake import Intake
from worker.amqp.kept_cancellation import KeptCancellation
from worker.amqp.refusals import LOST
from worker.counters import Counters

__all__ = ["ShardChannel"]

_log = logging.getLogger(__name__)

_CLOSE_SECONDS = 5.0


class ShardChannel:
    """Consumes a shard until it is released, or lost.

    Its consumer is never cancelled while deliveries are unsettled: the broker would hand the shard on at once, and the
    next consumer would get later commands before these. Instead it takes no more deliveries, waits until those it took
    are settled, and closes the channel. The broker then requeues all further deliveries in order, and hands the shard
    on.

    Attributes:
        shard: Number of the shard.
        prefetch: The most unsettled deliveries at a time.
    """

    def __init__(self, shard: int, prefetch: int, channel: AbstractChannel, wire: WireChannel) -> None:
        self.shard = shard
        self.prefetch = prefetch
        # Kept: a channel is closed when it is garbage-collected.
        self._channel = channel
        self._wire = wire
        self._intake = Intake(shard)
        self._acks = Acknowledgements(wire)
        self._ended = False

    @classmethod
    async def open(
        cls,
        link: Link,
        queue: str,
        *,
        shard: int,
        prefetch: int,
        counters: Counters,
        deliver: Callable[[Delivery], None],
        ended: Callable[["ShardChannel"], None],
    ) -> "ShardChannel":
        """Open a channel and begin to consume.

        Args:
            link: The connection.
            queue: Name of the shard's queue.
            shard: Number of the shard.
            prefetch: The most unsettled deliveries at a time.
            counters: Counts deliveries.
            deliver: Called with each delivery, in order. It must not block.
            ended: Called once with this channel, when no delivery can arrive any more.
        """
        channel = await link.channel()
        await channel.set_qos(prefetch_count=prefetch)
        wire = await link.wire_of(channel)
        self = cls(shard, prefetch, channel, wire)
        intake, acks = self._intake, self._acks

        def on_message(message: Received) -> None:
            # Deliveries that arrive while closing are requeued by the close: they are neither begun nor counted.
            if not intake.is_closing:
                deliver(Delivery(acks, message, counters, intake))

        def on_end(_: object) -> None:
            if not self._ended:
                self._ended = True
                ended(self)

        wire.closing.add_done_callback(on_end)
        wire.on_consumer_cancel_callbacks.add(on_end)
        link.take_deliveries(wire, on_message)
        await wire.basic_consume(queue, passed_by)
        return self

    @property
    def is_closing(self) -> bool:
        """Whether it takes no more deliveries."""
        return self._intake.is_closing

    @property
    def is_closed(self) -> bool:
        """Whether the channel is closed."""
        return self._wire.is_closed

    def stop(self) -> None:
        """Take no more deliveries. Those that were taken can still be settled."""
        self._intake.is_closing = True

    def give_up(self) -> None:
        """Stop ``release`` from waiting for unsettled deliveries. They are requeued."""
        self._intake.give_up()

    async def flush(self) -> None:
        """Wait until every acknowledgement has been handed to the connection."""
        await self._acks.flush()

    async def release(self) -> None:
        """Take no more deliveries, wait until those taken are settled, and close the channel, which frees the shard."""
        self.stop()
        await self._intake.emptied()
        await self.flush()
        if not self._wire.is_closed:
            with KeptCancellation(*LOST):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._channel.close()
