"""Own channels: each publishes one message at a time, so that a refusal affects no other message."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from aio_pika.abc import AbstractChannel
from aiormq import spec
from aiormq.exceptions import PublishError

from worker.amqp.connection import Link, WireChannel
from worker.amqp.kept_cancellation import KeptCancellation
from worker.amqp.refusals import LOST

__all__ = ["OwnChannels"]

# Enough for confirmations to share the broker's disk writes.
_AT_ONCE = 16
_Result = TypeVar("_Result")


class OwnChannels:
    """Publishes each message over a channel on which no other is in progress.

    A broker closes the channel of a message that it refuses. Channels whose message was confirmed are reused.

    Args:
        link: The connection.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._idle: list[tuple[AbstractChannel, WireChannel]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        # By the ``shares`` of ``publish``: a queue that confirms nothing delays no message to another queue.
        self._room: WeakValueDictionary[object, asyncio.Semaphore] = WeakValueDictionary()

    async def publish(
        self,
        body: bytes,
        properties: spec.Basic.Properties,
        *,
        exchange: str,
        routing_key: str,
        mandatory: bool,
        shares: object,
    ) -> None:
        """Publish one message and wait until it is confirmed.

        Args:
            body: The message's body.
            properties: The message's properties.
            exchange: Name of the exchange.
            routing_key: The routing key in the exchange.
            mandatory: Whether the broker returns it if no queue takes it.
            shares: Messages with an equal value share a limit on how many are published at once.

        Raises any error of the library.
        """
        if (room := self._room.get(shares)) is None:
            room = self._room[shares] = asyncio.Semaphore(_AT_ONCE)
        async with room:
            channel, wire = await self._take()
            try:
                await wire.basic_publish(
                    body,
                    exchange=exchange,
                    routing_key=routing_key,
                    properties=properties,
                    mandatory=mandatory,
                    wait=False,
                )
            except PublishError:
                # The message was returned, and the channel can be reused. A channel on which a queue refused to store a
                # message may go on refusing for that queue after it has room again.
                self._idle.append((channel, wire))
                raise
            except BaseException:
                self._spawn(_close(channel))
                raise
            self._idle.append((channel, wire))

    async def _take(self) -> tuple[AbstractChannel, WireChannel]:
        await self._link.wire()
        while self._idle:
            channel, wire = self._idle.pop()
            if not wire.is_closed:
                return channel, wire
        opening = self._spawn(self._open())
        try:
            # Cancelling the opening of a channel would close the connection.
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(self._keep)
            raise

    async def _open(self) -> tuple[AbstractChannel, WireChannel]:
        channel = await self._link.channel(confirms=True)
        return channel, await self._link.wire_of(channel)

    def _keep(self, opening: asyncio.Task[tuple[AbstractChannel, WireChannel]]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            self._idle.append(opening.result())

    def _spawn(self, work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _close(channel: AbstractChannel) -> None:
    if not channel.is_closed:
        with KeptCancellation(*LOST):
            await channel.close()
