"""The ordered sender: messages are published in their order, window by window, each confirmed or the window failed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed, DeliveryError

from worker.amqp.connection import Link
from worker.amqp.sender import CONNECTION_REFUSALS, PERSISTENT, Properties
from worker.errors import BrokerBusy, BrokerError, MessageRefused, Unroutable

__all__ = ["OrderedSender", "Outgoing", "Unsent"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """What could not be sent, or may not have been.

    Attributes:
        place: The first that is not confirmed, from 0: all before it are.
        error: Why.
    """

    place: int
    error: Exception


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

    async def send(self, messages: Sequence[Outgoing], *, exchange: str, timeout: float) -> Unsent | None:  # noqa: ASYNC109  without it, a call would wait for a reconnection forever
        """Publish persistent messages in their order, and wait until the broker has taken all of them.

        Whether any queue takes one is no concern of who publishes.

        Args:
            messages: What to publish.
            exchange: Where to.
            timeout: For all of it, in seconds, a reconnection included.

        Returns:
            None where all are confirmed. Else the first that is not, with ``MessageRefused`` where the broker refuses
            it or one behind it for what it is; ``Unroutable`` where there is no such exchange; ``BrokerUnavailable``
            where it was not confirmed in time, the connection broke, or a queue was full; ``BrokerMisconfigured``
            where the broker refuses the connection, or the right to publish there. Each that is not confirmed may have
            arrived all the same, those behind the first as well. Sent again, they come again, in order.
        """
        confirmed: list[Outgoing] = []
        try:
            await self._translated(messages, exchange, timeout, confirmed)
        except BrokerError as error:
            return Unsent(place=len(confirmed), error=error)
        return None

    async def close(self) -> None:
        """Close the connection. Safe to repeat."""
        await self._link.close()

    async def _translated(
        self,
        messages: Sequence[Outgoing],
        exchange: str,
        timeout: float,  # noqa: ASYNC109  the same
        confirmed: list[Outgoing],
    ) -> None:
        async with self._link.translating():
            try:
                async with asyncio.timeout(timeout):
                    await self._publish(messages, exchange, confirmed)
            except ChannelNotFoundEntity as error:
                raise Unroutable(f"there is no exchange {exchange}") from error
            except DeliveryError as error:
                raise BrokerBusy(f"RabbitMQ refused a message for {exchange}: a queue is full") from error
            except (ChannelPreconditionFailed, *CONNECTION_REFUSALS) as error:
                raise MessageRefused(f"RabbitMQ refuses the message: {error}") from error

    async def _publish(self, messages: Sequence[Outgoing], exchange: str, confirmed: list[Outgoing]) -> None:
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
            ends = await asyncio.gather(*under_way, return_exceptions=True)
            confirmed += _confirmed(messages, ends)
            # What is written to a channel may still arrive while it is open, behind what is sent next.
            await self._link.reset()
            raise


def _confirmed(messages: Sequence[Outgoing], ends: Sequence[object]) -> Iterator[Outgoing]:
    """Iterate over messages up to the first that ended with an error."""
    for message, end in zip(messages, ends, strict=True):
        if isinstance(end, BaseException):
            return
        yield message
