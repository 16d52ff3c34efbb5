"""The sender: messages go to the broker confirmed, or an error says that they may not have."""

import asyncio
from typing import Self
from uuid import uuid4

from aiormq import spec
from aiormq.exceptions import DeliveryError, PublishError

from worker.amqp.connection import Link
from worker.amqp.declaration import declare, declare_exchange
from worker.errors import BrokerUnavailable, Unroutable
from worker.topology import Topology

__all__ = ["Properties", "Sender"]

Properties = spec.Basic.Properties
_PERSISTENT = 2
# What the frame of the properties holds besides: its beginning, and the mark of a persistent message.
_BESIDE_PROPERTIES_BYTES = 12 + 1


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
            BrokerMisconfigured: The broker refuses the connection.
        """
        async with self._link.translating(), asyncio.timeout(timeout):
            await self._link.wire()
        return self

    async def close(self) -> None:
        """Close the connection. A call that still waits for a confirmation gets ``BrokerUnavailable``."""
        await self._link.close()

    async def send(
        self,
        body: bytes,
        properties: Properties,
        *,
        exchange: str,
        routing_key: str,
        timeout: float | None,  # noqa: ASYNC109  without it, a call waits for a reconnection forever
    ) -> None:
        """Publish one persistent message and wait until the broker has stored it.

        Args:
            body: The message.
            properties: Its properties; a ``message_id`` is required.
            exchange: Where to; the empty string addresses the queue named by the routing key.
            routing_key: Where to, inside the exchange.
            timeout: For all of it, in seconds, a reconnection included; None for as long as it takes.

        Raises:
            Unroutable: No queue took it; nothing was stored.
            BrokerUnavailable: Not confirmed in time, or the connection broke: it may or may not have arrived.
            BrokerMisconfigured: The broker refuses the connection.

        On cancellation the message may still be stored. So it may after a timeout: what was written to a connection
        that the broker does not read for now, it stores when it reads on. Who sends it again before the connection is
        lost may have it stored twice.
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

    async def diagnose(self) -> str:
        """Say why the broker does not answer."""
        return await self._link.diagnose()

    async def declare(self, topology: Topology, timeout: float = 5.0) -> None:  # noqa: ASYNC109  as for sending
        """Declare a domain's exchange and queues, such as somebody deleted. What is there stays as it is.

        Raises:
            BrokerUnavailable: Not within the timeout, in seconds.
            BrokerMisconfigured: The broker refuses the connection or a declaration.
        """
        async with self._link.translating(), asyncio.timeout(timeout), self._link.side_channel() as channel:
            await declare(channel, topology)

    def fits(self, properties: Properties) -> bool:
        """Whether a message with these properties can be sent.

        They travel in one frame. For one that is too large the broker ends the connection, with all that is under way.
        """
        try:
            size = len(properties.marshal())
        except (TypeError, ValueError, RecursionError):
            return False
        return size + _BESIDE_PROPERTIES_BYTES <= self._link.largest_payload

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
