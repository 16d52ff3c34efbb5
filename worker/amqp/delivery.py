"""A delivery: one message on one channel, which ends exactly once."""

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
"""Goes along with a message that may be poison when it is retried: the broker counts the copy's deliveries anew.

Older workers read this name, too.
"""

# One crash can be a coincidence; a command that was there each of two times is worth a process of its own.
_RETURNS_OF_POISON = 2


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
        is_redelivered: Whether the broker has handed it out before.
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
        """Which shard it came from; None without affinity."""
        return None if self._intake is None else self._intake.shard

    @property
    def begins_shard(self) -> bool:
        """Whether it is the first that its channel has of a shard, which another process may have had until then."""
        return self._intake is not None and self.tag == 1

    @property
    def affinity_key(self) -> str | None:
        """The key that chose its shard; None if the message has none that is a text."""
        key = (self.properties.headers or {}).get(AFFINITY_HEADER)
        return key if isinstance(key, str) else None

    @property
    def is_lost(self) -> bool:
        """Whether the channel that could settle it is gone."""
        return self._acks.wire.is_closed

    @property
    def loss(self) -> asyncio.Future[Any]:
        """What is done when the channel that could settle it is gone. A future of its own for each call."""
        return self._acks.wire.closing

    @property
    def may_be_poison(self) -> bool:
        """Whether the broker has handed it out more than twice, so that it may have killed the processes that had it.

        RabbitMQ before 4.3 also counts what was given back on purpose, as on a drain. That costs time, no more.
        """
        headers = self.properties.headers or {}
        if POISON_HEADER in headers:
            return True
        # On the first delivery, such a header is the publisher's.
        returns = headers.get("x-delivery-count") if self.is_redelivered else 0
        return isinstance(returns, int) and returns >= _RETURNS_OF_POISON

    @property
    def has_ended(self) -> bool:
        """Whether it is settled, or lost."""
        return self._ended

    @property
    def is_open(self) -> bool:
        """Whether nobody has settled it, or is about to tell the broker so."""
        return not (self._ended or self._is_settled)

    def acknowledge(self, end: End) -> None:
        """Tell the broker soon that the message is done, and count it as said; as lost if the channel is gone."""
        self._is_settled = True
        if self.is_lost:
            self.end(End.LOST_CHANNEL)
        else:
            self._acks.acknowledge(self, end)

    async def give_back(self) -> None:
        """Put the message back at its place in the queue; on a shard's channel that is closing, leave it for that."""
        end = End.RETURNED
        if self._intake is not None and self._intake.is_closing:
            # Still its only consumer, we would get it again at once, and have it counted once more.
            self.end(end)
            return
        try:
            await self._acks.wire.basic_nack(self.tag, requeue=True, wait=False)
        except LOST:
            end = End.LOST_CHANNEL
        self._acks.forget(self.tag)
        self.end(end)

    async def reject(self, end: End) -> None:
        """Have the broker put the message aside as it is, and count it as said; as lost if the channel is gone."""
        self._is_settled = True
        try:
            await self._acks.wire.basic_reject(self.tag, requeue=False, wait=False)
        except LOST:
            end = End.LOST_CHANNEL
        self._acks.forget(self.tag)
        self.end(end)

    def abandon(self) -> None:
        """Leave the message to the broker, which puts it back when the channel closes."""
        self.end(End.LOST_CHANNEL if self.is_lost else End.RETURNED)

    def end(self, how: End) -> None:
        """Note how it ended, once.

        Raises:
            RuntimeError: It has ended before.
        """
        if self._ended:
            raise RuntimeError(f"delivery {self.tag} was settled before")
        self._ended = True
        if self._intake is not None:
            self._intake.end()
        self._counters.end(how, self.command)
