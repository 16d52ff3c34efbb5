"""The sender: messages go to the broker confirmed, or an error says that they may not have."""

import asyncio
from typing import Self
from uuid import uuid4

from aiormq import spec
from aiormq.exceptions import DeliveryError, PublishError

from worker.broker import Link
from worker.errors import BrokerUnavailable, Unroutable
from worker.topology import declare_exchange

__all__ = ["Properties", "Sender"]

Properties = spec.Basic.Properties
_PERSISTENT = 2


class Sender:
    """Publishes with confirmations over a connection of its own, which is opened again whenever it was lost.

    Any number of ``send`` may wait at the same time: their confirmations are awaited together, not in turn.
    """

    def __init__(self, url: str, *, name: str) -> None:
        self._link = Link(url, name=name, prepare=declare_exchange)
        self._under_way: dict[str, asyncio.Event] = {}

    async def open(self, timeout: float = 5.0) -> Self:  # noqa: ASYNC109  without it, a call would wait for a reconnection forever
        """Connect now rather than with the first message.

        Raises:
            BrokerUnavailable: Not within the timeout, in seconds.
            BrokerMisconfigured: The broker refuses us.
        """
        async with self._link.translating(), asyncio.timeout(timeout):
            await self._link.wire()
        return self

    async def close(self) -> None:
        """Close the connection. Whoever still waits for a confirmation gets ``BrokerUnavailable``."""
        await self._link.close()

    async def send(
        self,
        body: bytes,
        properties: Properties,
        *,
        exchange: str,
        routing_key: str,
        timeout: float,  # noqa: ASYNC109  without it, a call would wait for a reconnection forever
    ) -> None:
        """Publish one persistent message and wait until the broker has stored it.

        Args:
            body: The message.
            properties: Its properties; a ``message_id`` is required.
            exchange: Where to; the empty string addresses the queue named by the routing key.
            routing_key: Where to, inside the exchange.
            timeout: For all of it, in seconds, a reconnection included.

        Raises:
            Unroutable: No queue took it; nothing was stored.
            BrokerUnavailable: Not confirmed in time, or the connection broke: it may or may not have arrived.
            BrokerMisconfigured: The broker refuses us.

        On cancellation the message may still be stored.
        """
        properties.delivery_mode = _PERSISTENT
        async with self._link.translating():
            try:
                async with asyncio.timeout(timeout):
                    await self._publish(body, properties, exchange=exchange, routing_key=routing_key)
            except PublishError as error:
                target = f"{exchange}:{routing_key}" if exchange else routing_key
                raise Unroutable(f"no queue takes messages for {target}; nothing was stored") from error
            except DeliveryError as error:
                raise BrokerUnavailable("RabbitMQ refused to store the message; try again later") from error

    async def _publish(self, body: bytes, properties: Properties, *, exchange: str, routing_key: str) -> None:
        # The library tells by its id which message came back: of two with one id, one would pass for stored.
        # One without an id is given one by the library, in the properties.
        identity = properties.message_id or str(uuid4())
        while (other := self._under_way.get(identity)) is not None:
            await other.wait()
        self._under_way[identity] = ended = asyncio.Event()
        try:
            wire = await self._link.wire()
            # wait=False: the confirmation is the proof; waiting for the socket to drain as well would hold the
            # channel's lock and send one message at a time.
            await wire.basic_publish(
                body, exchange=exchange, routing_key=routing_key, properties=properties, mandatory=True, wait=False
            )
        finally:
            del self._under_way[identity]
            ended.set()
