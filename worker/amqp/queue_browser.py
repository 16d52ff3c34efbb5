"""The queue browser: holds the messages of a queue from the oldest on, and finally returns all of them in order."""

import asyncio
import itertools
import time
from array import array
from collections import deque
from contextlib import suppress
from typing import Self

from aiormq import spec
from aiormq.abc import DeliveredMessage

from worker.amqp.connection import WireChannel
from worker.amqp.refusals import LOST
from worker.amqp.sender import Properties
from worker.errors import BrokerUnavailable

__all__ = ["Held", "QueueBrowser", "next_width", "ready"]

# The size of the first letters shows how many fit in memory; a broker allows a consumer of a quorum queue at most
# 2,000.
_FIRST_WIDTH = 50
_MOST_WIDTH = 1000
_CHUNK_BYTES = 16 * 1024 * 1024
# How long no letter arrives before the broker is asked for the number left; and how often in a row it must report none
# before that is believed: deliveries may take long to arrive.
_PATIENCE = 1.0
_ASKS = 3
# The broker keeps the order of this many letters that are returned together, and of this many groups at once. Beyond
# that, they are returned as well, but shuffled.
_GROUP = 32
_GROUPS_AT_ONCE = 16
_RETURN_SECONDS = 1.0
_POLL_SECONDS = 0.002
_numbers = itertools.count()


def next_width(width: int, largest: int) -> int:
    """Return how many letters the broker may deliver ahead, so that they fit in 16 MiB if none is larger than before.

    Args:
        width: The number until now.
        largest: The size of the largest letter so far, in bytes.
    """
    return max(1, min(2 * width, _MOST_WIDTH, _CHUNK_BYTES // max(1, largest)))


async def ready(wire: WireChannel, queue: str) -> int:
    """Return how many messages of a queue are ready for delivery: held by no consumer."""
    declared = await wire.queue_declare(queue, passive=True)
    return declared.message_count or 0


class Held:
    """A letter that this browser holds: no other consumer gets it until it is returned.

    Attributes:
        body: The message's bytes.
        properties: Its AMQP properties.
    """

    __slots__ = ("_chunk", "_tag", "_wire", "body", "properties")

    def __init__(self, wire: WireChannel, message: DeliveredMessage, chunk: "_Chunk") -> None:
        self.body: bytes = message.body
        self.properties: Properties = message.header.properties
        self._wire = wire
        self._chunk = chunk
        self._tag = _tag_of(message)

    async def acknowledge(self) -> None:
        """Remove the letter from the queue, for good.

        Raises:
            BrokerUnavailable: The connection is gone, and the letter is back in the queue.
        """
        try:
            await self._wire.basic_ack(self._tag, wait=False)
        except LOST as error:
            raise BrokerUnavailable("the connection broke; the letter is still in its queue") from error
        self._chunk.held.remove(self._tag)


class _Chunk:
    """The letters delivered to one consumer.

    A consumer gets at most ``width`` unsettled letters, so the next chunk needs another consumer.
    """

    __slots__ = ("consumer", "held", "width")

    def __init__(self, consumer: str, width: int) -> None:
        self.consumer = consumer
        self.width = width
        # Delivery tags, in ascending order. A browser keeps no more than eight bytes of each letter that it has passed.
        self.held = array("Q")

    @property
    def is_full(self) -> bool:
        return len(self.held) >= self.width


class QueueBrowser:
    """An async iterator over the messages of a queue, oldest first.

    Attributes:
        seconds: How long it has held its first letter. Brokers close the channel of a consumer that holds one for 30
            minutes.
    """

    def __init__(self, wire: WireChannel, queue: str, most: int) -> None:
        self._wire = wire
        self._queue = queue
        self._left = most
        self._chunks: list[_Chunk] = []
        self._arrived: deque[tuple[_Chunk, DeliveredMessage]] = deque()
        self._news = asyncio.Event()
        self._largest = 0
        self._began = time.monotonic()
        self._is_cut = False
        wire.closing.add_done_callback(lambda _: self._cut())
        wire.on_consumer_cancel_callbacks.add(self._on_cancel)

    @property
    def seconds(self) -> float:
        """How long it has held its first letter, in seconds."""
        return time.monotonic() - self._began

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Held:
        if self._left <= 0:
            raise StopAsyncIteration
        while not self._arrived and not self._is_cut:
            if not self._chunks or self._chunks[-1].is_full:
                await self._open_chunk()
            if not await self._something_comes():
                raise StopAsyncIteration
        if self._is_cut:
            raise BrokerUnavailable(f"the connection broke, or {self._queue} was deleted, while its messages were read")
        chunk, message = self._arrived.popleft()
        self._left -= 1
        self._largest = max(self._largest, len(message.body))
        return Held(self._wire, message, chunk)

    async def give_back(self) -> None:
        """Return the held letters to the queue, in order. The iteration is then over."""
        self._left = 0
        self._wire.on_consumer_cancel_callbacks.discard(self._on_cancel)
        if self._is_cut or not self._chunks:
            return
        await self._wire.basic_cancel(self._chunks[-1].consumer)
        expected = await ready(self._wire, self._queue)
        groups = ((chunk, start) for chunk in self._chunks for start in range(0, len(chunk.held), _GROUP))
        for number, (chunk, start) in enumerate(groups, start=1):
            group = chunk.held[start : start + _GROUP]
            await self._wire.basic_nack(group[-1], multiple=True, requeue=True, wait=False)
            expected += len(group)
            if number % _GROUPS_AT_ONCE == 0:
                await self._has_back(expected)
        await self._has_back(expected)

    async def _has_back(self, expected: int) -> None:
        """Wait until the broker counts as many ready messages, for a limited time: another consumer may take some."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_RETURN_SECONDS):
                while await ready(self._wire, self._queue) < expected:  # noqa: ASYNC110  it waits for another process
                    await asyncio.sleep(_POLL_SECONDS)

    async def _something_comes(self) -> bool:
        """Wait for the next letter. Return whether there is one, or may be one soon."""
        for _ in range(_ASKS):
            if self._arrived or self._is_cut:
                return True
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await self._news.wait()
            if self._arrived or self._is_cut:
                return True
            # First the question, then the look: on a slow connection the answer arrives after earlier deliveries.
            left = await ready(self._wire, self._queue)
            if self._arrived or self._is_cut or left:
                return True
        # Fewer are ready than were counted: another consumer holds or has removed some.
        return False

    async def _open_chunk(self) -> None:
        width = _FIRST_WIDTH
        if self._chunks:
            await self._wire.basic_cancel(self._chunks[-1].consumer)
            width = next_width(self._chunks[-1].width, self._largest)
        # A name that no other browser on this channel has used. When the channel closes, the broker requeues the
        # letters of consumers in the order of their names.
        chunk = _Chunk(f"walk-{next(_numbers):012}", width)

        async def on_message(message: DeliveredMessage) -> None:
            chunk.held.append(_tag_of(message))
            self._arrived.append((chunk, message))
            self._news.set()

        self._chunks.append(chunk)
        await self._wire.basic_qos(prefetch_count=width)
        await self._wire.basic_consume(self._queue, on_message, consumer_tag=chunk.consumer)

    def _on_cancel(self, frame: spec.Basic.Cancel | spec.Basic.CancelOk) -> None:
        # The library also calls this for cancellations by this client.
        if isinstance(frame, spec.Basic.Cancel):
            self._cut()

    def _cut(self) -> None:
        self._is_cut = True
        self._news.set()


def _tag_of(message: DeliveredMessage) -> int:
    if message.delivery_tag is None:
        raise ValueError("a delivery has a tag")
    return message.delivery_tag
