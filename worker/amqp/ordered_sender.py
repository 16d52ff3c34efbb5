"""The ordered sender: messages are published in their order, window by window, each confirmed or the window failed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed, DeliveryError

from worker.amqp.connection import Link
from worker.amqp.sender import CONNECTION_REFUSALS, PERSISTENT, Properties
from worker.errors import BrokerBusy, MessageRefused, Unroutable

__all__ = ["OrderedSender", "Outgoing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message that is to be published.

    Attributes:
        routing_key: What routes it inside the exchange.
        body: The message.
        properties: Its properties.
    """

    routing_key: str
    body: bytes
    properties: Properties


class OrderedSender:
    """Publishes over a channel of its own, which nothing else is published on.

    Args:
        url: The broker.
        name: What the connection is called in the broker's management pages.
        prepare: Called with the connection whenever a channel was opened, before anything is published.
    """

    def __init__(self, url: str, *, name: str, prepare: Callable[[Link], Awaitable[None]]) -> None:
        async def prepared(_: AbstractChannel) -> None:
            await prepare(self._link)

        self._link = Link(url, name=name, prepare=prepared)

    async def send(self, messages: Sequence[Outgoing], *, exchange: str, timeout: float) -> None:  # noqa: ASYNC109  without it, a call would wait for a reconnection forever
        """Publish persistent messages in their order, and wait until the broker has taken all of them.

        Whether any queue takes one is no concern of who publishes.

        Args:
            messages: What to publish.
            exchange: Where to.
            timeout: For all of it, in seconds, a reconnection included.

        Raises:
            MessageRefused: The broker refuses one of them for what it is.
            Unroutable: There is no such exchange.
            BrokerUnavailable: Not all were confirmed in time, the connection broke, or a queue was full.
            BrokerMisconfigured: The broker refuses the connection, or the right to publish there.

        Whatever is raised, and on cancellation, any of them may have arrived, those behind one that was refused as
        well. Sent again, they come again, in order.
        """
        async with self._link.translating():
            try:
                async with asyncio.timeout(timeout):
                    await self._publish(messages, exchange)
            except ChannelNotFoundEntity as error:
                raise Unroutable(f"there is no exchange {exchange}") from error
            except DeliveryError as error:
                raise BrokerBusy(
                    f"RabbitMQ refused an event for {exchange}: a queue is full; see its policy"
                ) from error
            except (ChannelPreconditionFailed, *CONNECTION_REFUSALS) as error:
                raise MessageRefused(f"RabbitMQ refuses the message: {error}") from error

    async def close(self) -> None:
        """Close the connection. Safe to repeat."""
        await self._link.close()

    async def _publish(self, messages: Sequence[Outgoing], exchange: str) -> None:
        wire = await self._link.wire()
        under_way = []
        for message in messages:
            message.properties.delivery_mode = PERSISTENT
            # Tasks begin in the order in which they are made, and the channel's lock keeps it.
            publishing = wire.basic_publish(
                message.body,
                exchange=exchange,
                routing_key=message.routing_key,
                properties=message.properties,
                wait=False,
            )
            under_way.append(asyncio.ensure_future(publishing))
        try:
            await asyncio.gather(*under_way)
        except BaseException:
            for each in under_way:
                each.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
            # What is written to a channel may still arrive while it is open, behind what is sent next.
            await self._link.reset()
            raise
