"""A delivery: one message on one channel, which is settled exactly once."""

import asyncio
import time
from typing import Any

from worker.amqp.acknowledgements import Acknowledgements
from worker.amqp.delivery_reader import Received
from worker.amqp.intake import Intake
from worker.amqp.refusals import LOST
from worker.amqp.sender import Properties
from worker.counters import UNKNOWN_COMMAND, Counters, End
from worker.topology import AFFINITY_HEADER

__all__ = ["POISON_HEADER", "Delivery"]

POISON_HEADER = "worker-suspect"
"""Marks a possibly poisonous message when it is retried: the broker counts the copy's deliveries from zero.

Older workers read this name, too.
"""

# One crash can be a coincidence; a command that was in progress at two of them is decided in a process of its own.
_RETURNS_OF_POISON = 2


class Delivery:
    """A message as delivered, with the channel on which it can be settled.

    If its channel is gone, nothing needs to be done: the broker delivers the message again. Deliveries of one shard
    come in the order in which the commands were published, redelivered ones first.

    Attributes:
        body: The message's bytes.
        properties: Its AMQP properties.
        tag: Its delivery tag on the channel.
        received_at: When it arrived, on the monotonic clock, in seconds.
        command: The command type that it is counted under.
        is_redelivered: Whether the broker has delivered it before.
    """

    __slots__ = (
        "_acks",
        "_counters",
        "_ended",
        "_intake",
        "_is_settled",
        "body",
        "command",
        "is_redelivered",
        "properties",
        "received_at",
        "tag",
    )

    def __init__(
        self, acks: Acknowledgements, message: Received, counters: Counters, intake: Intake | None = None
    ) -> None:
        self.body = message.body
        self.properties: Properties = message.properties
        self.tag = message.tag
        self.received_at = time.monotonic()
        self.command = UNKNOWN_COMMAND
        self.is_redelivered = message.is_redelivered
        self._acks = acks
        acks.begin(self.tag)
        self._counters = counters
        self._ended = False
        self._is_settled = False
        self._intake = intake
        if intake is not None:
            intake.begin()
        counters.begin()

    @property
    def shard(self) -> int | None:
        """Number of the shard that it came from; None if the domain has no shards."""
        return None if self._intake is None else self._intake.shard

    @property
    def begins_shard(self) -> bool:
        """Whether it is the first delivery of a shard's channel. Until then, another process may have had the shard."""
        return self._intake is not None and self.tag == 1

    @property
    def affinity_key(self) -> str | None:
        """The affinity key that chose its shard; None if the header is missing or not a string."""
        key = (self.properties.headers or {}).get(AFFINITY_HEADER)
        return key if isinstance(key, str) else None

    @property
    def is_lost(self) -> bool:
        """Whether the channel on which it can be settled is closed."""
        return self._acks.wire.is_closed

    @property
    def loss(self) -> asyncio.Future[Any]:
        """A future that is done when the channel on which it can be settled is closed; a new one for each call."""
        return self._acks.wire.closing

    @property
    def may_be_poison(self) -> bool:
        """Whether the broker has delivered it more than twice, so that it may have killed the processes that had it.

        RabbitMQ before 4.3 also counts deliveries that were given back on purpose, as in a drain. That only costs time.
        """
        headers = self.properties.headers or {}
        if POISON_HEADER in headers:
            return True
        # On the first delivery, the publisher may have set this header.
        returns = headers.get("x-delivery-count") if self.is_redelivered else 0
        return isinstance(returns, int) and returns >= _RETURNS_OF_POISON

    @property
    def has_ended(self) -> bool:
        """Whether it is settled, or lost."""
        return self._ended

    @property
    def is_open(self) -> bool:
        """Whether it is neither settled nor about to be."""
        return not (self._ended or self._is_settled)

    def acknowledge(self, end: End) -> None:
        """Acknowledge the message soon, and count the given result; ``End.LOST_CHANNEL`` if the channel is gone."""
        self._is_settled = True
        if self.is_lost:
            self.end(End.LOST_CHANNEL)
        else:
            self._acks.acknowledge(self, end)

    async def give_back(self) -> None:
        """Requeue the message at its place; if its shard's channel is closing, leave that to the close."""
        end = End.RETURNED
        if self._intake is not None and self._intake.is_closing:
            # This channel is still the only consumer, so the broker would deliver it here again at once, and count
            # that.
            self.end(end)
            return
        try:
            await self._acks.wire.basic_nack(self.tag, requeue=True, wait=False)
        except LOST:
            end = End.LOST_CHANNEL
        self._acks.forget(self.tag)
        self.end(end)

    async def reject(self, end: End) -> None:
        """Have the broker dead-letter the message unchanged, and count the result; as lost if the channel is gone."""
        self._is_settled = True
        try:
            await self._acks.wire.basic_reject(self.tag, requeue=False, wait=False)
        except LOST:
            end = End.LOST_CHANNEL
        self._acks.forget(self.tag)
        self.end(end)

    def abandon(self) -> None:
        """Leave the message to the broker, which requeues it when the channel closes."""
        self.end(End.LOST_CHANNEL if self.is_lost else End.RETURNED)

    def end(self, how: End) -> None:
        """Count its result, once.

        Raises:
            RuntimeError: It was settled before.
        """
        if self._ended:
            raise RuntimeError(f"delivery {self.tag} was settled before")
        self._ended = True
        if self._intake is not None:
            self._intake.end()
        self._counters.end(how, self.command)
