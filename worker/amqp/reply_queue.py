"""The reply queue: an exclusive queue on which the answers to commands arrive."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

from aio_pika.abc import AbstractChannel
from aiormq.abc import DeliveredMessage

from worker.amqp.body_reader import BodyReader
from worker.amqp.connection import Link
from worker.message import Reply, parse_reply

__all__ = ["ReplyQueue", "ReplyQueueLost"]

_log = logging.getLogger(__name__)


class ReplyQueueLost(Exception):
    """Raised when the connection broke before a reply arrived. Publish the command again: its receipt is sent again."""


class ReplyQueue:
    """Receives replies over a connection of its own.

    The queue is exclusive, so it vanishes with the connection, together with replies sent after that. Waiting callers
    then get ``ReplyQueueLost``, and the queue is declared again under the same name. Direct reply-to would bind replies
    to the publishing channel, where an unroutable exchange or a failed publish would lose them silently.
    """

    def __init__(self, url: str, *, name: str) -> None:
        self.queue = f"replies.{uuid4()}"
        # Any program may publish to the queue, and only the body of a reply is used.
        self._link = Link(url, name=name, prepare=self._consume, reader=BodyReader)
        self._waiting: defaultdict[UUID, set[asyncio.Future[Reply]]] = defaultdict(set)

    async def open(self) -> str:
        """Make sure that replies arrive, and return the queue's name for ``reply_to``."""
        async with self._link.translating():
            await self._link.wire()
        return self.queue

    async def close(self) -> None:
        """Close the connection."""
        await self._link.close()

    @contextmanager
    def expecting(self, command_id: UUID) -> Iterator[asyncio.Future[Reply]]:
        """Yield a future of the command's next reply. It raises ``ReplyQueueLost`` when the connection breaks."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[command_id].add(future)
        try:
            yield future
        finally:
            waiting = self._waiting[command_id]
            waiting.discard(future)
            if not waiting:
                del self._waiting[command_id]
            if future.done() and not future.cancelled():
                future.exception()  # retrieved, whether or not it was awaited
            future.cancel()

    async def _consume(self, channel: AbstractChannel) -> None:
        await channel.declare_queue(self.queue, exclusive=True, auto_delete=True)
        wire = await channel.get_underlay_channel()
        await wire.basic_consume(self.queue, self._on_reply, no_ack=True)
        wire.closing.add_done_callback(self._on_lost)

    async def _on_reply(self, message: DeliveredMessage) -> None:
        try:
            reply = parse_reply(message.body)
        except ValueError as error:
            _log.warning("a message in the reply queue is not a reply: %s", error)
            return
        if reply.command_id is None:
            return  # a message whose id cannot be parsed was not sent by this publisher
        for future in self._waiting.get(reply.command_id, ()):
            if not future.done():
                future.set_result(reply)

    def _on_lost(self, _: object) -> None:
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(ReplyQueueLost())
