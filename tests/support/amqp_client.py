"""An AMQP client for tests: publishes messages of any form, and takes any message out of a queue."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aiormq import Channel as WireChannel
from aiormq import spec

from tests.support.fixtures.waiting import eventually
from worker.amqp.codec import install_lenient_codec

Properties = spec.Basic.Properties


MARKS = "?" * 255
"""A text as long as may be, in whose place ``NotText`` sends bytes of which none is a text."""


class NotText(Properties):
    """Properties with bytes that are no valid text."""

    def marshal(self) -> bytes:
        return super().marshal().replace(MARKS.encode(), b"\xff" * len(MARKS))


class AmqpClient:
    """Publishes and takes messages one at a time.

    Attributes:
        replies: The client's own queue, for ``reply_to``.
    """

    def __init__(self, channel: AbstractChannel, wire: WireChannel, replies: str) -> None:
        self.channel = channel
        self.replies = replies
        self._wire = wire

    @classmethod
    @asynccontextmanager
    async def open(cls, amqp_url: str) -> AsyncIterator["AmqpClient"]:
        # The client reads every message that a test or a worker has published, valid or not.
        install_lenient_codec()
        connection = await aio_pika.connect(amqp_url, client_properties={"connection_name": "client"})
        async with connection:
            channel = await connection.channel(on_return_raises=True)
            replies = await channel.declare_queue(exclusive=True)
            yield cls(channel, cast("WireChannel", await channel.get_underlay_channel()), replies.name)

    async def put(
        self,
        body: bytes,
        *,
        exchange: str = "commands",
        routing_key: str = "tally",
        form: type[Properties] = Properties,
        **properties: Any,
    ) -> str:
        """Publish a message, by default a ``Count`` with a new id; return the id."""
        chosen: dict[str, Any] = {"message_id": str(uuid4()), "message_type": "Count", "delivery_mode": 2} | properties
        await self._wire.basic_publish(
            body, exchange=exchange, routing_key=routing_key, properties=form(**chosen), mandatory=True
        )
        return str(chosen["message_id"])

    async def take(self, queue: str, *, seconds: float = 60.0) -> AbstractIncomingMessage:
        """Take a queue's next message; wait ``seconds`` for it at most."""
        taken: list[AbstractIncomingMessage] = []
        await eventually(partial(self._take, queue, taken), what=f"a message in {queue}", seconds=seconds)
        return taken[0]

    async def lose(self, queue: str) -> None:
        """Have a queue's next message delivered to a channel and close the channel: RabbitMQ counts a failed delivery.

        A requeue by ``basic.nack`` counts up to RabbitMQ 3 only.
        """
        wire = await self._wire.connection.channel()
        await wire.basic_get(queue)
        await wire.close()

    async def answer(self) -> dict[str, Any]:
        """Wait for the next reply and return its JSON."""
        reply: dict[str, Any] = json.loads((await self.take(self.replies)).body)
        return reply

    async def answers(self, count: int) -> dict[str, dict[str, Any]]:
        """Wait for ``count`` replies and return their JSON by the command's id."""
        replies = [await self.answer() for _ in range(count)]
        return {reply["command_id"]: reply for reply in replies}

    async def ready(self, queue: str) -> int:
        """The number of ready messages in a queue."""
        return (await self._look(queue)).message_count or 0

    async def holds(self, queue: str, count: int) -> None:
        """Wait until a queue has exactly ``count`` ready messages."""

        async def has() -> bool:
            return await self.ready(queue) == count

        await eventually(has, what=f"{count} messages in {queue}")

    async def consumers(self, queue: str) -> int:
        """The number of a queue's consumers."""
        return (await self._look(queue)).consumer_count or 0

    async def delete(self, queue: str) -> None:
        """Delete a queue and its messages."""
        await self.channel.queue_delete(queue)

    async def _look(self, queue: str) -> spec.Queue.DeclareOk:
        return await self._wire.queue_declare(queue, passive=True)

    async def _take(self, queue: str, taken: list[AbstractIncomingMessage]) -> bool:
        source = await self.channel.get_queue(queue, ensure=False)
        message = await source.get(no_ack=True, fail=False)
        if message is not None:
            taken.append(message)
        return message is not None
