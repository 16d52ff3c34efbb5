"""The sender: publishes messages with confirmations; an error says that a message may not have arrived."""

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
from worker.amqp.frame_size import check_frame, fit_in_frame
from worker.amqp.kept_cancellation import KeptCancellation
from worker.amqp.own_channels import OwnChannels
from worker.amqp.relay_exchange import declare_exchange
from worker.errors import BrokerBusy, BrokerUnavailable, MessageRefused, Unroutable
from worker.topology import Topology

__all__ = ["CONNECTION_REFUSALS", "PERSISTENT", "Properties", "Sender"]

Properties = spec.Basic.Properties
PERSISTENT = 2
"""The delivery mode of messages that survive a restart of the broker."""
CONNECTION_REFUSALS = (
    ConnectionChannelError,
    ConnectionCommandInvalid,
    ConnectionFrameError,
    ConnectionInternalError,
    ConnectionNotImplemented,
    ConnectionSyntaxError,
    ConnectionUnexpectedFrame,
)
"""Errors with which a broker closes a whole connection because of something that was sent on it."""
_SHARED = "shared"


class Sender:
    """Publishes with confirmations over a connection of its own, which is opened again whenever it was lost.

    Any number of calls of ``send`` may wait at the same time: their confirmations are awaited together. A message that
    the broker refuses for good affects no other: the broker closes its channel, and the messages that shared the
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

        Args:
            timeout: For the whole call, in seconds.

        Returns:
            This sender.

        Raises:
            BrokerUnavailable: The broker cannot be reached, or does not answer in time.
            BrokerMisconfigured: The broker refuses the connection.
        """
        async with self._link.translating(), asyncio.timeout(timeout):
            await self._shared()
        return self

    async def close(self) -> None:
        """Close the connection. A call that still waits for a confirmation raises ``BrokerUnavailable``."""
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
            body: The message's body.
            properties: The message's properties, with a ``message_id``. Its delivery mode is set to persistent.
            exchange: Name of the exchange; the empty string for the default exchange, which routes by queue name.
            routing_key: The routing key; on the default exchange, the queue's name.
            timeout: For the whole call, in seconds, including a reconnection; None for no limit.
            alone: Whether it gets a channel of its own from the start. A message that shares a channel may be stored
                twice when another one is refused.
            mandatory: Whether it is an error if no queue takes it.

        Raises:
            Unroutable: No queue took it, or the exchange does not exist; nothing was stored.
            MessageRefused: It cannot be encoded, or the broker refuses it because of its size or content; nothing was
                stored.
            BrokerUnavailable: It was not confirmed in time, or the connection broke: it may or may not have arrived.
            BrokerMisconfigured: The broker refuses the connection, or the right to publish there.

        On cancellation the message may still be stored. So it may after a timeout: when a broker that has stopped
        reading goes on, it stores what was written to the connection. A message that is sent again before the
        connection is lost may be stored twice.
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

    async def declare(self, topology: Topology, timeout: float | None = 5.0) -> tuple[str, ...]:  # noqa: ASYNC109  as for sending
        """Declare the exchanges and queues of a domain that are missing, for example because they were deleted.

        Args:
            topology: The domain's exchanges and queues.
            timeout: For the whole call, in seconds; None for no limit. When it is over, the connection may be lost.

        Returns:
            The names of the exchanges and queues that were declared.

        Raises:
            BrokerUnavailable: The broker cannot be reached, or does not answer in time.
            BrokerMisconfigured: The broker refuses the connection or a declaration.
        """
        async with self._link.translating(), asyncio.timeout(timeout):
            return await declare_missing(self._link, topology)

    async def declare_events(self, domain: str, timeout: float) -> None:  # noqa: ASYNC109  as for sending
        """Declare a domain's exchange for events if it is missing.

        Args:
            domain: The domain's name.
            timeout: For the whole call, in seconds.

        Raises:
            BrokerUnavailable: The broker cannot be reached, or does not answer in time.
            BrokerMisconfigured: The broker refuses the connection or the declaration.
        """
        async with self._link.translating(), asyncio.timeout(timeout):
            await declare_exchange(self._link, domain)

    def fits(self, properties: Properties) -> bool:
        """Whether a message with these properties can be sent: see ``fit_in_frame``. Before ``open`` it is a guess."""
        return fit_in_frame(properties, self._link.largest_payload)

    async def _send(
        self, body: bytes, properties: Properties, *, exchange: str, routing_key: str, alone: bool, mandatory: bool
    ) -> None:
        target: dict[str, Any] = {"exchange": exchange, "routing_key": routing_key, "mandatory": mandatory}
        # The size of a frame is known only then.
        await self._link.wire()
        check_frame(properties, routing_key, self._link.largest_payload)
        try:
            if not alone:
                try:
                    with KeptCancellation():
                        await self._publish(body, properties, **target)
                except PublishError:
                    raise
                except (ChannelClosed, ChannelInvalidStateError, DeliveryError):
                    # The refusal may be due to this message, or to any other on the channel. Also, a channel on which a
                    # queue was full does not always notice that it has room again.
                    pass
                else:
                    return
            shares = (exchange, routing_key) if alone else _SHARED
            await self._own.publish(body, properties, **target, shares=shares)
        except CONNECTION_REFUSALS:
            # It may be due to this message, or to any other on the connection.
            link = Link(self._url, name=f"{self._name}, one message")
            try:
                await OwnChannels(link).publish(body, properties, **target, shares=_SHARED)
            finally:
                await link.close()

    async def _publish(
        self, body: bytes, properties: Properties, *, exchange: str, routing_key: str, mandatory: bool
    ) -> None:
        # The library recognises a returned message by its id: of two with the same id, one would pass for stored.
        # A message without an id gets one from the library, in the properties.
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
        """Return the channel that messages share; open another on the same connection if it was closed."""
        if self._wire is not None and not self._wire.is_closed:
            return self._wire
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_task(self._open_shared())
            self._opening.add_done_callback(_seen)
        # Cancelling the opening of a channel would close the connection.
        return await asyncio.shield(self._opening)

    async def _open_shared(self) -> WireChannel:
        await self._link.wire()
        self._channel = await self._link.channel(confirms=True)
        self._wire = wire = await self._link.wire_of(self._channel)
        return wire


def _seen(opening: asyncio.Task[WireChannel]) -> None:
    """Mark a failure as retrieved, even if all its waiting callers have given up."""
    if not opening.cancelled():
        opening.exception()
