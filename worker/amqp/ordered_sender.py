"""The ordered sender: messages are published in their order, window by window, each confirmed or the window failed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from aio_pika.abc import AbstractChannel
from aiormq import spec
from aiormq.abc import ChannelFrame
from aiormq.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed, DeliveryError
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from worker.amqp.connection import Link
from worker.amqp.sender import CONNECTION_REFUSALS, PERSISTENT, Properties
from worker.errors import BrokerBusy, BrokerError, MessageRefused, Unroutable

__all__ = ["OrderedSender", "Outgoing", "Unsent"]

Frame: TypeAlias = spec.Basic.Publish | ContentHeader | ContentBody
# So many messages are handed to the connection's writer at once; others have their turn in between.
_AT_ONCE = 50


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
        try:
            # What the library does for each message in a task of its own, at a third of the cost: the frames of many go
            # to its writer at once, and the lock keeps them together.
            async with wire.lock:
                for start in range(0, len(messages), _AT_ONCE):
                    some = messages[start : start + _AT_ONCE]
                    frames = [frame for each in some for frame in _frames(each, exchange, wire.max_content_size)]
                    for _ in some:
                        wire.delivery_tag += 1
                        wire.confirmations[wire.delivery_tag] = confirmation = wire.create_future()
                        under_way.append(confirmation)
                    await wire.write_queue.put(ChannelFrame.marshall(wire.number, frames))
            await asyncio.gather(*under_way)
        except BaseException:
            confirmed += _confirmed(messages, under_way)
            # What is written to a channel may still arrive while it is open, behind what is sent next.
            await self._link.reset()
            raise


def _frames(message: Outgoing, exchange: str, largest: int) -> Iterator[Frame]:
    """Iterate over the frames of a message."""
    message.properties.delivery_mode = PERSISTENT
    yield spec.Basic.Publish(exchange=exchange, routing_key=message.routing_key)
    yield ContentHeader(properties=message.properties, body_size=len(message.body))
    for start in range(0, len(message.body), largest):
        yield ContentBody(message.body[start : start + largest])


def _confirmed(messages: Sequence[Outgoing], confirmations: "Sequence[asyncio.Future[object]]") -> Iterator[Outgoing]:
    """Iterate over messages up to the first that is not confirmed."""
    for message, each in zip(messages, confirmations, strict=False):
        if not each.done() or each.cancelled() or each.exception() is not None:
            return
        yield message
