"""The queue browser: along a queue from its oldest message, each held until the end, then all given back in order."""

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

# The first letters tell how large they are; a broker gives no consumer of a quorum queue more than 2,000.
_FIRST_WIDTH = 50
_MOST_WIDTH = 1000
_CHUNK_BYTES = 16 * 1024 * 1024
# So long nothing comes before the broker is asked whether anything is left; and so often in a row it has nothing left,
# and nothing has come, before that is believed: what it has handed out already may take long to arrive.
_PATIENCE = 1.0
_ASKS = 3
# The broker keeps the order of so many letters that return together, and of so many groups under way at once. Whatever
# goes beyond is put back as well, but shuffled.
_GROUP = 32
_GROUPS_AT_ONCE = 16
_RETURN_SECONDS = 1.0
_POLL_SECONDS = 0.002
_numbers = itertools.count()


def next_width(width: int, largest: int) -> int:
    """Say how many letters the broker may hand out ahead, so that they fit into 16 MiB if none is larger than before.

    Args:
        width: How many it was until now.
        largest: The size of the largest letter so far, in bytes.
    """
    return max(1, min(2 * width, _MOST_WIDTH, _CHUNK_BYTES // max(1, largest)))


async def ready(wire: WireChannel, queue: str) -> int:
    """Return how many messages of a queue nobody holds."""
    declared = await wire.queue_declare(queue, passive=True)
    return declared.message_count or 0


class Held:
    """A letter that we hold: nobody else sees it until it is given back.

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
            raise BrokerUnavailable("the connection broke; the letter is still there") from error
        self._chunk.held.remove(self._tag)


class _Chunk:
    """What one consumer was given.

    A consumer gets no more than its width unsettled, so the next chunk needs another one.
    """

    __slots__ = ("consumer", "held", "width")

    def __init__(self, consumer: str, width: int) -> None:
        self.consumer = consumer
        self.width = width
        # In ascending order. Eight bytes a letter are all that a walk keeps of what it has passed.
        self.held = array("Q")

    @property
    def is_full(self) -> bool:
        return len(self.held) >= self.width


class QueueBrowser:
    """A walk along the queue: an async iterator of what it holds, oldest first.

    Attributes:
        seconds: How long it has held its first letter. A broker ends the channel of who holds one for 30 minutes.
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
        """How long it has lasted."""
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
            raise BrokerUnavailable(f"the connection broke, or {self._queue} was deleted, while it was looked at")
        chunk, message = self._arrived.popleft()
        self._left -= 1
        self._largest = max(self._largest, len(message.body))
        return Held(self._wire, message, chunk)

    async def give_back(self) -> None:
        """Put back what is held, in its order. Nothing comes after that."""
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
        """Wait until the broker counts so many, within a bound: somebody else may take some meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_RETURN_SECONDS):
                while await ready(self._wire, self._queue) < expected:  # noqa: ASYNC110  it waits for another process
                    await asyncio.sleep(_POLL_SECONDS)

    async def _something_comes(self) -> bool:
        """Wait for the next letter. Returns whether there is one, or may be one soon."""
        for _ in range(_ASKS):
            if self._arrived or self._is_cut:
                return True
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await self._news.wait()
            if self._arrived or self._is_cut:
                return True
            # Asked first, looked after: on a slow connection the answer comes behind what was handed out before it.
            left = await ready(self._wire, self._queue)
            if self._arrived or self._is_cut or left:
                return True
        # Fewer are there than were counted: somebody else holds or has removed some.
        return False

    async def _open_chunk(self) -> None:
        width = _FIRST_WIDTH
        if self._chunks:
            await self._wire.basic_cancel(self._chunks[-1].consumer)
            width = next_width(self._chunks[-1].width, self._largest)
        # A name that no other walk on this channel has had. In the order of their names the broker returns what
        # consumers held, when we are gone.
        chunk = _Chunk(f"walk-{next(_numbers):012}", width)

        async def on_message(message: DeliveredMessage) -> None:
            chunk.held.append(_tag_of(message))
            self._arrived.append((chunk, message))
            self._news.set()

        self._chunks.append(chunk)
        await self._wire.basic_qos(prefetch_count=width)
        await self._wire.basic_consume(self._queue, on_message, consumer_tag=chunk.consumer)

    def _on_cancel(self, frame: spec.Basic.Cancel | spec.Basic.CancelOk) -> None:
        # The library tells of our own cancellations as well.
        if isinstance(frame, spec.Basic.Cancel):
            self._cut()

    def _cut(self) -> None:
        self._is_cut = True
        self._news.set()


def _tag_of(message: DeliveredMessage) -> int:
    if message.delivery_tag is None:
        raise ValueError("a delivery has a tag")
    return message.delivery_tag
