"""A delivery: one message on one channel, which ends exactly once."""

import asyncio
import time
from typing import Any

from aiormq.abc import DeliveredMessage

from worker.amqp.connection import LOST, WireChannel
from worker.amqp.intake import Intake
from worker.amqp.sender import Properties
from worker.counters import UNKNOWN_COMMAND, Counters, End
from worker.topology import AFFINITY_HEADER

__all__ = ["SUSPECT_HEADER", "Delivery"]

SUSPECT_HEADER = "worker-suspect"
"""Goes along with a suspect that is retried, since the copy begins the broker's count anew."""

# One crash can be a coincidence; a command that was there each of two times is worth a process of its own.
_RETURNS_OF_A_SUSPECT = 2


class Delivery:
    """A message as it came, with the channel that it can be settled on.

    A delivery whose channel is gone needs nothing: the broker delivers the message again. Deliveries of one shard come
    in the order in which the commands were published, those that had been delivered before first.

    Attributes:
        body: The message's bytes.
        properties: Its AMQP properties.
        tag: What the channel calls it.
        received_at: When it came, on the monotonic clock.
        command: The name that it is counted under.
    """

    __slots__ = (
        "_counters",
        "_ended",
        "_intake",
        "_redelivered",
        "_wire",
        "body",
        "command",
        "properties",
        "received_at",
        "tag",
    )

    def __init__(
        self, wire: WireChannel, message: DeliveredMessage, counters: Counters, intake: Intake | None = None
    ) -> None:
        if message.delivery_tag is None:
            raise ValueError("a delivery has a tag")
        self.body: bytes = message.body
        self.properties: Properties = message.header.properties
        self.tag: int = message.delivery_tag
        self.received_at = time.monotonic()
        self.command = UNKNOWN_COMMAND
        self._redelivered = bool(message.redelivered)
        self._wire = wire
        self._counters = counters
        self._ended = False
        self._intake = intake
        if intake is not None:
            intake.begin()
        counters.begin()

    @property
    def shard(self) -> int | None:
        """Which shard it came from; None without affinity."""
        return None if self._intake is None else self._intake.shard

    @property
    def affinity_key(self) -> str | None:
        """The key that chose its shard; None if the message has none that is a text."""
        key = (self.properties.headers or {}).get(AFFINITY_HEADER)
        return key if isinstance(key, str) else None

    @property
    def is_lost(self) -> bool:
        """Whether the channel that could settle it is gone."""
        return self._wire.is_closed

    @property
    def loss(self) -> asyncio.Future[Any]:
        """What is done when the channel that could settle it is gone. It belongs to whoever asks for it."""
        return self._wire.closing

    @property
    def is_suspect(self) -> bool:
        """Whether the broker has handed it out more than twice, so that it may have killed whoever had it.

        RabbitMQ before 4.3 also counts what was given back on purpose, as on a drain. That costs time, no more.
        """
        headers = self.properties.headers or {}
        if SUSPECT_HEADER in headers:
            return True
        # On the first delivery, such a header is the publisher's.
        returns = headers.get("x-delivery-count") if self._redelivered else 0
        return isinstance(returns, int) and returns >= _RETURNS_OF_A_SUSPECT

    @property
    def has_ended(self) -> bool:
        """Whether it is settled, or lost."""
        return self._ended

    async def acknowledge(self, end: End) -> None:
        """Tell the broker that the message is done, and count it as said; as lost when the channel is gone."""
        try:
            await self._wire.basic_ack(self.tag, wait=False)
        except LOST:
            end = End.LOST_CHANNEL
        self._end(end)

    async def give_back(self) -> None:
        """Put the message back at its place in the queue; on a shard's channel that is closing, leave it for that."""
        end = End.RETURNED
        if self._intake is not None and self._intake.is_closing:
            # Still its only consumer, we would get it again at once, and have it counted once more.
            self._end(end)
            return
        try:
            await self._wire.basic_nack(self.tag, requeue=True, wait=False)
        except LOST:
            end = End.LOST_CHANNEL
        self._end(end)

    def abandon(self) -> None:
        """Leave the message to the broker, which puts it back when the channel closes."""
        self._end(End.LOST_CHANNEL if self.is_lost else End.RETURNED)

    def _end(self, end: End) -> None:
        if self._ended:
            raise RuntimeError(f"delivery {self.tag} was settled before")
        self._ended = True
        if self._intake is not None:
            self._intake.end()
        self._counters.end(end, self.command)
