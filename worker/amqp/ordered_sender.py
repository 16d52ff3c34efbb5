"""The ordered sender: publishes messages in order, window by window; each is confirmed, or the window fails."""

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
from worker.amqp.frame_size import check_frame
from worker.amqp.sender import CONNECTION_REFUSALS, PERSISTENT, Properties
from worker.errors import BrokerBusy, BrokerError, MessageRefused, Unroutable

__all__ = ["OrderedSender", "Outgoing", "Unsent"]

Frame: TypeAlias = spec.Basic.Publish | ContentHeader | ContentBody
# How many messages are handed to the connection's writer at once; other tasks run in between.
_AT_ONCE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message to publish.

    Attributes:
        routing_key: Its routing key in the exchange.
        body: The message's body.
        properties: Its properties.
    """

    routing_key: str
    body: bytes
    properties: Properties


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """The result of a window that failed.

    Attributes:
        place: Index of the first message that is not confirmed, from 0: all before it are confirmed.
        error: The reason.
    """

    place: int
    error: Exception


class OrderedSender:
    """Publishes over a channel that is used for nothing else.

    Args:
        url: The broker's address.
        name: Name of the connection in the broker's management pages.
        prepare: Called with the link whenever a channel was opened, before anything is published.
    """

    def __init__(self, url: str, *, name: str, prepare: Callable[[Link], Awaitable[None]]) -> None:
        async def prepared(_: AbstractChannel) -> None:
            await prepare(self._link)

        self._link = Link(url, name=name, prepare=prepared)

    async def send(self, messages: Sequence[Outgoing], *, exchange: str, timeout: float) -> Unsent | None:  # noqa: ASYNC109  without it, a call would wait for a reconnection forever
        """Publish persistent messages in order, and wait until the broker has confirmed all of them.

        It is no error if no queue takes a message.

        Args:
            messages: The messages, in order.
            exchange: Name of the exchange.
            timeout: For the whole call, in seconds, including a reconnection.

        Returns:
            None if all are confirmed. Otherwise the index of the first that is not, and the error: ``MessageRefused``
            if that message or a later one cannot be encoded, or the broker refuses it because of its size or content;
            ``Unroutable`` if the exchange does not exist; ``BrokerUnavailable`` if there was no confirmation in time,
            the connection broke, or a queue was full; ``BrokerMisconfigured`` if the broker refuses the connection, or
            the right to publish to the exchange. Any message that is not confirmed may nevertheless have arrived,
            including those after the first. Sent again, they arrive again, in order.
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
        timeout: float,  # noqa: ASYNC109  as in ``send``
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
        largest = self._link.largest_payload
        for each in messages:
            check_frame(each.properties, each.routing_key, largest)
        under_way = []
        try:
            # What the library does for each message in a task of its own, at a third of the cost: the frames of many
            # messages are handed to its writer at once, and the lock keeps them together.
            async with wire.lock:
                for start in range(0, len(messages), _AT_ONCE):
                    some = messages[start : start + _AT_ONCE]
                    frames = [frame for each in some for frame in _frames(each, exchange, largest)]
                    for _ in some:
                        wire.delivery_tag += 1
                        wire.confirmations[wire.delivery_tag] = confirmation = wire.create_future()
                        under_way.append(confirmation)
                    await wire.write_queue.put(ChannelFrame.marshall(wire.number, frames))
            await asyncio.gather(*under_way)
        except BaseException:
            confirmed += _confirmed(messages, under_way)
            # Messages written to a channel may still arrive while it is open, after those that are sent next.
            await self._link.reset()
            raise


def _frames(message: Outgoing, exchange: str, largest: int) -> Iterator[Frame]:
    """Yield the frames of a message."""
    message.properties.delivery_mode = PERSISTENT
    yield spec.Basic.Publish(exchange=exchange, routing_key=message.routing_key)
    yield ContentHeader(properties=message.properties, body_size=len(message.body))
    for start in range(0, len(message.body), largest):
        yield ContentBody(message.body[start : start + largest])


def _confirmed(messages: Sequence[Outgoing], confirmations: "Sequence[asyncio.Future[object]]") -> Iterator[Outgoing]:
    """Yield the messages before the first one that is not confirmed."""
    for message, each in zip(messages, confirmations, strict=False):
        if not each.done() or each.cancelled() or each.exception() is not None:
            return
        yield message
