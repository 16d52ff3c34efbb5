"""The shard channel: one shard, consumed over a channel of its own, from its first delivery to its close."""

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

    A consumer is never cancelled while it holds deliveries: the broker would hand the shard on at once, and the next
    consumer would get later commands before these. It takes no more, has those that it took settled, and closes its
    channel; then the broker puts back in order what it was handed besides, and hands the shard on.

    Attributes:
        shard: Which shard.
        prefetch: How many unsettled deliveries the broker may hand out.
    """

    def __init__(self, shard: int, prefetch: int, channel: AbstractChannel, wire: WireChannel) -> None:
        self.shard = shard
        self.prefetch = prefetch
        # Kept: a channel is closed when nothing refers to it any more.
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
        """Begin to consume.

        Args:
            link: The connection.
            queue: The shard's queue.
            shard: Which shard it is.
            prefetch: How many unsettled deliveries the broker may hand out.
            counters: Where deliveries are counted.
            deliver: Called with each delivery.
            ended: Called once, when no delivery can come in any more.
        """
        channel = await link.channel()
        await channel.set_qos(prefetch_count=prefetch)
        wire = await link.wire_of(channel)
        self = cls(shard, prefetch, channel, wire)
        intake, acks = self._intake, self._acks

        def on_message(message: Received) -> None:
            # What comes while we close is put back by the close: it is neither begun nor counted.
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
        """Whether the channel is gone."""
        return self._wire.is_closed

    def stop(self) -> None:
        """Take no more deliveries. Those that were taken can still be settled."""
        self._intake.is_closing = True

    def give_up(self) -> None:
        """Have ``release`` wait for nothing more. What is unsettled is put back."""
        self._intake.give_up()

    async def flush(self) -> None:
        """Wait until every acknowledgement was handed to the connection."""
        await self._acks.flush()

    async def release(self) -> None:
        """Take no more deliveries, wait until those that were taken are settled, and let the shard go."""
        self.stop()
        await self._intake.emptied()
        await self.flush()
        if not self._wire.is_closed:
            with KeptCancellation(*LOST):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._channel.close()
