"""The sender: messages go to the broker confirmed, or an error says that they may not have."""

import asyncio
from typing import Any, Self
from uuid import uuid4

from aio_pika.abc import AbstractChannel
from aiormq import spec
from aiormq.exceptions import (
    ChannelClosed,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    ConnectionChannelError,
    ConnectionCommandInvalid,
    ConnectionFrameError,
    ConnectionInternalError,
    ConnectionNotImplemented,
    ConnectionSyntaxError,
    ConnectionUnexpectedFrame,
    DeliveryError,
    PublishError,
)

from worker.amqp.connection import Link, WireChannel
from worker.amqp.declaration import declare_missing
from worker.amqp.kept_cancellation import KeptCancellation
from worker.amqp.own_channels import OwnChannels
from worker.errors import BrokerBusy, BrokerUnavailable, MessageRefused, Unroutable
from worker.topology import Topology

__all__ = ["CONNECTION_REFUSALS", "PERSISTENT", "Properties", "Sender"]

Properties = spec.Basic.Properties
PERSISTENT = 2
"""The delivery mode of messages that outlive a restart of the broker."""
# What the frame of the properties holds besides: its beginning, and the mark of a persistent message.
_BESIDE_PROPERTIES_BYTES = 12 + 1
CONNECTION_REFUSALS = (
    ConnectionChannelError,
    ConnectionCommandInvalid,
    ConnectionFrameError,
    ConnectionInternalError,
    ConnectionNotImplemented,
    ConnectionSyntaxError,
    ConnectionUnexpectedFrame,
)
"""What a broker ends a whole connection with on account of what came over it."""
_SHARED = "shared"


class Sender:
    """Publishes with confirmations over a connection of its own, which is opened again whenever it was lost.

    Any number of ``send`` may wait at the same time: their confirmations are awaited together, not in turn. What the
    broker refuses for good costs no other message: it closes the channel on which it came, and those that shared the
    channel are sent again, each on one of its own. Nothing is declared.
    """

    def __init__(self, url: str, *, name: str) -> None:
        self._url = url
        self._name = name
        self._link = Link(url, name=name)
        self._own = OwnChannels(self._link)
        self._opening: asyncio.Task[WireChannel] | None = None
        # The channel object is kept: it is closed when nothing refers to it any more.
        self._channel: AbstractChannel | None = None
        self._wire: WireChannel | None = None
        self._under_way: dict[str, asyncio.Event] = {}

    async def open(self, timeout: float = 5.0) -> Self:  # noqa: ASYNC109  without it, a call would wait for a reconnection forever
        """Connect now rather than with the first message.

        Raises:
            BrokerUnavailable: Not within the timeout, in seconds.
            BrokerMisconfigured: The broker refuses the connection.
        """
        async with self._link.translating(), asyncio.timeout(timeout):
            await self._shared()
        return self

    async def close(self) -> None:
        """Close the connection. A call that still waits for a confirmation gets ``BrokerUnavailable``."""
        await self._link.close()
        if self._opening is not None:
            self._opening.cancel()

    async def send(
        self,
        body: bytes,
        properties: Properties,
        *,
        exchange: str,
        routing_key: str,
        timeout: float | None,  # noqa: ASYNC109  without it, a call waits for a reconnection forever
        alone: bool = False,
        mandatory: bool = True,
    ) -> None:
        """Publish one persistent message and wait until the broker has stored it.

        Args:
            body: The message.
            properties: Its properties; a ``message_id`` is required.
            exchange: Where to; the empty string addresses the queue named by the routing key.
            routing_key: Where to, inside the exchange.
            timeout: For all of it, in seconds, a reconnection included; None for as long as it takes.
            alone: Whether it shares its channel with no other from the start. One that shares it may be stored twice,
                when another one is refused.
            mandatory: Whether it is an error if no queue takes it.

        Raises:
            Unroutable: No queue took it, or there is no such exchange; nothing was stored.
            MessageRefused: The broker refuses this message for what it is; nothing was stored.
            BrokerUnavailable: Not confirmed in time, or the connection broke: it may or may not have arrived.
            BrokerMisconfigured: The broker refuses the connection, or the right to publish there.

        On cancellation the message may still be stored. So it may after a timeout: what was written to a connection
        that the broker does not read for now, it stores when it reads on. Who sends it again before the connection is
        lost may have it stored twice.
        """
        properties.delivery_mode = PERSISTENT
        async with self._link.translating():
            try:
                async with asyncio.timeout(timeout):
                    await self._send(
                        body,
                        properties,
                        exchange=exchange,
                        routing_key=routing_key,
                        alone=alone,
                        mandatory=mandatory,
                    )
            except PublishError as error:
                target = f"{exchange}:{routing_key}" if exchange else routing_key
                raise Unroutable(f"no queue takes messages for {target}; nothing was stored") from error
            except ChannelNotFoundEntity as error:
                target = f"{exchange}:{routing_key}"
                raise Unroutable(f"no queue takes messages for {target}: there is no such exchange") from error
            except DeliveryError as error:
                raise BrokerBusy("RabbitMQ refused to store the message: its queue is full; try again later") from error
            except (ChannelPreconditionFailed, *CONNECTION_REFUSALS) as error:
                raise MessageRefused(f"RabbitMQ refuses the message: {error}") from error

    async def diagnosis(self) -> BrokerUnavailable:
        """Return why the broker does not answer."""
        return await self._link.diagnosis()

    async def declare(self, topology: Topology, timeout: float = 5.0) -> None:  # noqa: ASYNC109  as for sending
        """Declare what of a domain's exchanges and queues is missing, such as somebody deleted.

        Raises:
            BrokerUnavailable: Not within the timeout, in seconds.
            BrokerMisconfigured: The broker refuses the connection or a declaration.
        """
        async with self._link.translating(), asyncio.timeout(timeout):
            await declare_missing(self._link, topology)

    def fits(self, properties: Properties) -> bool:
        """Whether a message with these properties can be sent.

        They travel in one frame. For one that is too large the broker ends the connection, with all that is under way.
        """
        try:
            size = len(properties.marshal())
        except (TypeError, ValueError, RecursionError):
            return False
        return size + _BESIDE_PROPERTIES_BYTES <= self._link.largest_payload

    async def _send(
        self, body: bytes, properties: Properties, *, exchange: str, routing_key: str, alone: bool, mandatory: bool
    ) -> None:
        target: dict[str, Any] = {"exchange": exchange, "routing_key": routing_key, "mandatory": mandatory}
        try:
            if not alone:
                try:
                    with KeptCancellation():
                        await self._publish(body, properties, **target)
                except PublishError:
                    raise
                except (ChannelClosed, ChannelInvalidStateError, DeliveryError):
                    # On account of this message, or of any other that shared the channel. Nor does a channel on which
                    # a queue was full always learn that it has room again.
                    pass
                else:
                    return
            shares = (exchange, routing_key) if alone else _SHARED
            await self._own.publish(body, properties, **target, shares=shares)
        except CONNECTION_REFUSALS:
            # On account of this message, or of any other on the connection.
            link = Link(self._url, name=f"{self._name}, one message")
            try:
                await OwnChannels(link).publish(body, properties, **target, shares=_SHARED)
            finally:
                await link.close()

    async def _publish(
        self, body: bytes, properties: Properties, *, exchange: str, routing_key: str, mandatory: bool
    ) -> None:
        # The library tells by its id which message came back: of two with one id, one would pass for stored.
        # One without an id is given one by the library, in the properties.
        identity = properties.message_id or str(uuid4())
        while (other := self._under_way.get(identity)) is not None:
            await other.wait()
        self._under_way[identity] = ended = asyncio.Event()
        try:
            wire = await self._shared()
            # wait=False: the confirmation is the proof; waiting for the socket to drain as well would hold the
            # channel's lock and send one message at a time.
            await wire.basic_publish(
                body,
                exchange=exchange,
                routing_key=routing_key,
                properties=properties,
                mandatory=mandatory,
                wait=False,
            )
        finally:
            del self._under_way[identity]
            ended.set()

    async def _shared(self) -> WireChannel:
        """Return the channel that messages share. One that was closed has a successor on the same connection."""
        if self._wire is not None and not self._wire.is_closed:
            return self._wire
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_task(self._open_shared())
            self._opening.add_done_callback(_seen)
        # A channel whose opening is broken off would take the connection along.
        return await asyncio.shield(self._opening)

    async def _open_shared(self) -> WireChannel:
        await self._link.wire()
        self._channel = await self._link.channel(confirms=True)
        self._wire = wire = await self._link.wire_of(self._channel)
        return wire


def _seen(opening: asyncio.Task[WireChannel]) -> None:
    """Have a failure count as seen, also where everyone who waited for it has given up."""
    if not opening.cancelled():
        opening.exception()
