"""The publisher: how any asyncio program sends commands, and asks what became of them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from opentelemetry.trace import SpanKind
from pydantic import BaseModel

from eventstore.backoff import Backoff
from eventstore.counted import counted
from eventstore.jsontext import encode_object
from eventstore.opening import Opening
from worker.amqp.properties import Properties
from worker.amqp.refusals import broker_address
from worker.amqp.reply_queue import ReplyQueue, ReplyQueueLost
from worker.amqp.sender import Sender
from worker.errors import BrokerUnavailable, MessageRefused, NoReply, NoSchedule, Unroutable, WorkerError
from worker.message import CAUSATION_HEADER, CONTENT_TYPE, Reply
from worker.schedule.deliver_at import DELIVER_AT_HEADER, NEVER, deliver_at
from worker.telemetry.current_span import CurrentSpan
from worker.telemetry.spans import injected, publish_attributes, tracer
from worker.topology import AFFINITY_HEADER, EXCHANGE, Topology

__all__ = ["Publisher"]

_FIRST_REST, _LONGEST_REST = 0.1, 2.0
# What RabbitMQ 4 takes unless it is set otherwise.
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
# Texts that are together no longer fit one by one, and all into the smallest frame that a broker can be set to.
_SURELY_FIT = 250


class Publisher:
    """Sends commands. Any number of calls may be under way at once; each is confirmed on its own.

    Commands are not ordered among each other. Who needs an order awaits ``request`` before sending the next.
    """

    def __init__(
        self,
        sender: Sender,
        reply_queue: ReplyQueue,
        *,
        address: str,
        max_message_bytes: int = _MAX_MESSAGE_BYTES,
    ) -> None:
        self._sender = sender
        self._max_message_bytes = max_message_bytes
        self._reply_queue = reply_queue
        host, _, port = address.rpartition(":")
        self._server = (host, int(port))

    @classmethod
    def connect(
        cls,
        amqp_url: str,
        *,
        name: str = "publisher",
        timeout: float = 5.0,
        max_message_bytes: int = _MAX_MESSAGE_BYTES,
    ) -> Opening["Publisher"]:
        """Connect: with ``async with``, or with ``await`` until ``close``. A connection that is lost is opened again.

        Args:
            amqp_url: The broker.
            name: What the connections are called in the broker's management pages.
            timeout: How long the first connection may take, in seconds.
            max_message_bytes: The largest body to send. A broker has a limit of its own; a worker's is
                ``WORKER_MAX_MESSAGE_BYTES``.

        Raises:
            BrokerUnavailable: The broker did not answer in time.
            BrokerMisconfigured: It refuses the user or the virtual host.
        """

        async def opened() -> Publisher:
            publisher = cls(
                Sender(amqp_url, name=name),
                ReplyQueue(amqp_url, name=f"{name}-replies"),
                address=broker_address(amqp_url),
                max_message_bytes=max_message_bytes,
            )
            try:
                await publisher._sender.open(timeout)
            except BaseException:
                await publisher.close()
                raise
            return publisher

        return Opening(opened())

    async def close(self) -> None:
        """Close the connections. A call that still waits gets ``BrokerUnavailable``. Safe to repeat."""
        await self._reply_queue.close()
        await self._sender.close()

    async def publish(
        self,
        domain_name: str,
        command_type: str,
        body: Mapping[str, Any] | BaseModel | bytes,
        *,
        command_id: UUID | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        reply_to: str | None = None,
        affinity_key: str | None = None,
        timeout: float = 5.0,  # noqa: ASYNC109  without it, a call would wait for a reconnection forever
    ) -> UUID:
        """Send a command and wait until the broker has stored it.

        Args:
            domain_name: Whose command it is.
            command_type: Its name.
            body: The command, or its JSON as a mapping or text; text is sent as it is, unchecked.
            command_id: Sending a command again with its id is safe; by default a new one.
            correlation_id: The conversation it belongs to; by default the command's id.
            causation_id: What caused it; by default the command's id.
            reply_to: A queue to which the worker sends the answer.
            affinity_key: What ``Domain.affinity_key`` returns for the command, if the domain has an affinity. Without
                it, the command is decided all the same, but not together with the others of its key.
            timeout: For all of it, in seconds.

        Returns:
            The command's id.

        Raises:
            Unroutable: The domain has no queue, because no worker has ever served it.
            MessageRefused: It is too large; nothing was stored. Commands sent at the same time are not concerned.
            BrokerUnavailable: Not confirmed in time; it may have arrived. Send it again with the same id, which is the
                error's ``command_id``.
            BrokerMisconfigured: The broker refuses the user, or the right to write to the exchange ``commands``.

        Whatever is raised of ``WorkerError`` has the ``command_id``. Who may be cancelled passes one.
        """
        identity = command_id or uuid4()
        with _named(identity):
            await self._store(
                identity,
                Topology(domain_name).routing_key,
                _encode(body),
                message_type=command_type,
                correlation_id=correlation_id,
                reply_to=reply_to,
                headers=_headers(causation_id, affinity_key),
                timeout=timeout,
            )
        return identity

    async def schedule(
        self,
        domain_name: str,
        command_type: str,
        body: Mapping[str, Any] | BaseModel | bytes,
        at: datetime | timedelta,
        *,
        command_id: UUID | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        reply_to: str | None = None,
        affinity_key: str | None = None,
        timeout: float = 5.0,  # noqa: ASYNC109  without it, a call would wait for a reconnection forever
    ) -> UUID:
        """Have a command sent later, and wait until the broker has stored that.

        What the command says of the time is in its body: a decider sees nothing else, and asks no clock.

        Args:
            domain_name: Whose command it is.
            command_type: Its name.
            body: The command, or its JSON as a mapping or text; text is sent as it is, unchecked.
            at: When, with a time zone; or how long from now on, by this host's clock. What is past is sent at once.
            command_id: By default a new one. Scheduling an id again that waits replaces what waits: the later message
                holds, also with its time. An id takes effect once, and none that was cancelled is sent.
            correlation_id: The conversation it belongs to; by default the command's id.
            causation_id: What caused it; by default the command's id.
            reply_to: A queue to which the worker sends the answer, when it has decided.
            affinity_key: As in ``publish``.
            timeout: For all of it, in seconds.

        Returns:
            The command's id, by which it can be cancelled.

        Raises:
            MessageRefused: The time has no time zone, or is more than ten years ahead; or as ``publish``.
            NoSchedule: Neither ``worker schedule run`` nor ``worker topology declare`` has made the domain's queue for
                it.
            BrokerUnavailable, BrokerMisconfigured: As ``publish``.
        """
        identity = command_id or uuid4()
        with _named(identity), _about_schedule(domain_name):
            headers = (_headers(causation_id, affinity_key) or {}) | {DELIVER_AT_HEADER: _deliver_at(at)}
            await self._store(
                identity,
                Topology(domain_name).schedule_queue,
                _encode(body),
                message_type=command_type,
                correlation_id=correlation_id,
                reply_to=reply_to,
                headers=headers,
                timeout=timeout,
            )
        return identity

    async def cancel(
        self,
        domain_name: str,
        command_id: UUID,
        *,
        timeout: float = 5.0,  # noqa: ASYNC109  without it, a call would wait for a reconnection forever
    ) -> None:
        """Have a scheduled command not be sent any more, and wait until the broker has stored that.

        It comes too late for a command that is being sent by then. What is scheduled under this id later is not sent
        either: which of two messages comes first does not matter. To schedule the same again, take another id.

        Args:
            domain_name: Whose command it is.
            command_id: Its id.
            timeout: For all of it, in seconds.

        Raises:
            NoSchedule, BrokerUnavailable, BrokerMisconfigured: As ``schedule``.
        """
        with _named(command_id), _about_schedule(domain_name):
            await self._store(
                command_id,
                Topology(domain_name).schedule_queue,
                b"",
                message_type=None,
                headers={DELIVER_AT_HEADER: NEVER},
                timeout=timeout,
            )

    async def _store(
        self,
        identity: UUID,
        routing_key: str,
        body: bytes,
        *,
        message_type: str | None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        headers: dict[str, str] | None,
        timeout: float,  # noqa: ASYNC109  the caller's
    ) -> None:
        """Send a message with its trace, and wait until the broker has stored it."""
        self._check_size(len(body))
        id_text = str(identity)
        correlation = correlation_id or id_text
        attributes = publish_attributes(
            EXCHANGE, routing_key, command_id=id_text, correlation_id=correlation, server=self._server
        )
        start = partial(
            tracer.start_span,
            f"publish {EXCHANGE}:{routing_key}",
            kind=SpanKind.PRODUCER,
            attributes=attributes,
        )
        with CurrentSpan(start):
            properties = Properties(
                message_id=id_text,
                message_type=message_type,
                correlation_id=correlation,
                reply_to=reply_to,
                timestamp=datetime.now(UTC),
                content_type=CONTENT_TYPE,
                headers=injected(headers),
            )
            self._check_properties(properties)
            await self._sender.send(body, properties, exchange=EXCHANGE, routing_key=routing_key, timeout=timeout)

    async def request(
        self,
        domain_name: str,
        command_type: str,
        body: Mapping[str, Any] | BaseModel | bytes,
        *,
        command_id: UUID | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        affinity_key: str | None = None,
        timeout: float = 30.0,  # noqa: ASYNC109  without it, a call would wait for a reconnection forever
    ) -> Reply:
        """Send a command and wait for what became of it.

        When the connection breaks meanwhile, the command is sent again with the same id: it takes effect once, and the
        answer is the first one. The arguments are those of ``publish``; the timeout covers the answer as well.

        Raises:
            NoReply: The command was stored but not answered in time. It may still be processed.
            Unroutable, MessageRefused, BrokerMisconfigured: As ``publish``.
            BrokerUnavailable: The broker did not store it in time.

        On cancellation the command may still be processed.
        """
        identity = command_id or uuid4()
        with _named(identity):
            return await self._answered(
                partial(
                    self.publish,
                    domain_name,
                    command_type,
                    body,
                    command_id=identity,
                    correlation_id=correlation_id,
                    causation_id=causation_id,
                    affinity_key=affinity_key,
                    timeout=timeout,
                ),
                identity,
                timeout,
            )

    async def _answered(self, publish: Callable[..., Awaitable[UUID]], identity: UUID, seconds: float) -> Reply:
        """Publish, as often as the connection is lost meanwhile, and wait for the answer."""
        stored = False
        backoff = Backoff(first=_FIRST_REST, longest=_LONGEST_REST)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    reply_to = await self._reply_queue.open()
                    with self._reply_queue.expecting(identity) as reply, suppress(ReplyQueueLost, BrokerUnavailable):
                        await publish(reply_to=reply_to)
                        stored = True
                        return await reply
                    await backoff.rest()
        except TimeoutError:
            if not stored:
                why = await self._sender.diagnosis()
                raise type(why)(f"the command was not stored within {seconds:g} s: {why}") from None
            raise NoReply(
                f"command {identity} was sent, but not answered within {seconds:g} s; it may still be processed"
            ) from None

    def _check_size(self, size: int) -> None:
        if size > self._max_message_bytes:
            raise MessageRefused(
                f"the command has {counted(size, 'byte')}; at most {self._max_message_bytes:,} are sent "
                "(max_message_bytes)"
            )

    def _check_properties(self, properties: Properties) -> None:
        texts = (
            properties.message_type,
            properties.correlation_id,
            properties.reply_to,
            *(properties.headers or {}).values(),
        )
        size = sum(len(text) for text in texts if isinstance(text, str))
        if size > _SURELY_FIT and not self._sender.fits(properties):
            raise MessageRefused("the command's name, ids and headers do not fit into one frame; make them shorter")


@contextmanager
def _named(command_id: UUID) -> Iterator[None]:
    """Have what is raised name the command: with an id that was made for it, it can be sent again, too."""
    try:
        yield
    except WorkerError as error:
        error.command_id = command_id
        raise


@contextmanager
def _about_schedule(domain_name: str) -> Iterator[None]:
    try:
        yield
    except Unroutable as error:
        raise NoSchedule(f"the domain {domain_name} has no queue for what is to be sent later") from error


def _deliver_at(at: datetime | timedelta) -> str:
    try:
        return deliver_at(at)
    except ValueError as error:
        raise MessageRefused(f"the command cannot be scheduled: {error}") from None


def _headers(causation_id: str | None, affinity_key: str | None) -> dict[str, str] | None:
    headers = {CAUSATION_HEADER: causation_id} if causation_id else {}
    if affinity_key is not None:
        headers[AFFINITY_HEADER] = affinity_key
    return headers or None


def _encode(body: Mapping[str, Any] | BaseModel | bytes) -> bytes:
    if isinstance(body, bytes):
        return body
    if isinstance(body, BaseModel):
        # Not pydantic's own JSON, which writes decimals as strings.
        return encode_object(body.model_dump(by_alias=True)).encode()
    return encode_object(body).encode()
