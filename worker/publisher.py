"""The publisher: sends commands from any asyncio program, and waits for their answers."""

import asyncio
import math
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
# The default limit of RabbitMQ 4.
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class Publisher:
    """Publishes commands. Any number of calls may run at once; each is confirmed separately.

    Commands are not ordered among each other. If the order matters, await ``request`` before sending the next.
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
        """Connect: with ``async with``, or with ``await`` and a later ``close``. A lost connection is opened again.

        Args:
            amqp_url: The broker's address.
            name: Name of the connections in the broker's management pages.
            timeout: How long the first connection may take, in seconds.
            max_message_bytes: The largest body to send, in bytes; 16 MiB by default. The broker has a limit of its own;
                that of workers is ``WORKER_MAX_MESSAGE_BYTES``.

        Raises:
            BrokerUnavailable: The broker did not answer in time.
            BrokerMisconfigured: The broker refuses the user or the virtual host.
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
        """Close the connections. A call that still waits raises ``BrokerUnavailable``. Safe to repeat."""
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
            domain_name: Name of the command's domain.
            command_type: Name of the command.
            body: The command as a model, as a mapping, or as JSON text in UTF-8; text is sent unchecked.
            command_id: Id of the command; by default a new one. Sending a command again with the same id is safe.
            correlation_id: Id of the conversation that the command belongs to; by default the command's id.
            causation_id: Id of what caused the command; by default the command's id.
            reply_to: Name of a queue to which the worker sends the reply; by default none.
            affinity_key: The result of ``Domain.affinity_key`` for the command, if the domain has an affinity. Without
                it the command is decided nevertheless, but not together with others of its key.
            timeout: For the whole call, in seconds.

        Returns:
            The command's id.

        Raises:
            Unroutable: The domain has no queue, because no worker has ever served it.
            MessageRefused: It is too large, or cannot be encoded, or an argument has a wrong type; nothing was stored.
                Commands sent at the same time are not affected.
            BrokerUnavailable: It was not confirmed in time, and may have arrived. Send it again with the same id, which
                is the error's ``command_id``.
            BrokerMisconfigured: The broker refuses the user, or the right to write to the exchange ``commands``.

        Every ``WorkerError`` that is raised has the ``command_id``. A caller that may be cancelled should pass one.
        """
        identity = _identity(command_id)
        with _named(identity):
            _check_names(domain_name, command_type)
            _check_timeout(timeout)
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
        """Have a command sent at a later time, and wait until the broker has stored that request.

        If the command depends on the time, its body must contain it: a decider reads no clock.

        Args:
            domain_name: Name of the command's domain.
            command_type: Name of the command.
            body: The command as a model, as a mapping, or as JSON text in UTF-8; text is sent unchecked.
            at: The time, with a time zone; or the time from now, by this host's clock. If it is past, the command is
                sent at once.
            command_id: Id of the command; by default a new one. Scheduling an id that still waits replaces it,
                including its time. An id takes effect once, and an id that was cancelled is never sent.
            correlation_id: Id of the conversation that the command belongs to; by default the command's id.
            causation_id: Id of what caused the command; by default the command's id.
            reply_to: Name of a queue to which the worker sends the reply when it has decided the command; by default
                none.
            affinity_key: The result of ``Domain.affinity_key`` for the command, as in ``publish``.
            timeout: For the whole call, in seconds.

        Returns:
            The command's id, by which it can be cancelled.

        Raises:
            MessageRefused: The time has no time zone, or is more than ten years ahead; or as in ``publish``.
            NoSchedule: The domain's schedule queue does not exist: neither ``worker schedule run`` nor ``worker
                topology declare`` has declared it.
            BrokerUnavailable: It was not confirmed in time, and may have arrived: as in ``publish``.
            BrokerMisconfigured: The broker refuses the user, or the right to write to the exchange ``commands``.
        """
        identity = _identity(command_id)
        with _named(identity), _about_schedule(domain_name):
            _check_names(domain_name, command_type)
            _check_timeout(timeout)
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
        """Cancel a scheduled command, and wait until the broker has stored that request.

        A command that is already being sent is not stopped. A command that is scheduled under this id later is not sent
        either: the order of the two messages does not matter. To schedule the command again, use another id.

        Args:
            domain_name: Name of the command's domain.
            command_id: Id of the command.
            timeout: For the whole call, in seconds.

        Raises:
            NoSchedule: The domain's schedule queue does not exist.
            BrokerUnavailable, BrokerMisconfigured: As in ``schedule``.
        """
        identity = _identity(command_id)
        with _named(identity), _about_schedule(domain_name):
            _check_timeout(timeout)
            await self._store(
                identity,
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
        """Publish a message with its trace context, and wait until the broker has stored it."""
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
        """Send a command and wait for the answer to it.

        If the connection breaks during that, the command is sent again with the same id: it takes effect once, and the
        answer is the first one. The arguments are those of ``publish``, except that ``timeout`` includes the wait for
        the answer; 30 seconds by default.

        Raises:
            NoReply: The command was stored but not answered in time. It may still be processed.
            Unroutable, MessageRefused, BrokerMisconfigured: The command cannot be sent: as in ``publish``.
            BrokerUnavailable: The broker did not store it in time.

        On cancellation the command may still be processed.
        """
        identity = _identity(command_id)
        with _named(identity):
            _check_timeout(timeout)
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
        """Publish, again whenever the connection was lost, and wait for the answer."""
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


def _identity(command_id: UUID | None) -> UUID:
    """Return a command's id. A text would be sent as well, and its reply never found: replies are found by UUID."""
    if command_id is None:
        return uuid4()
    if not isinstance(command_id, UUID):
        raise MessageRefused(f"a command's id is a UUID, not {_kind(command_id)}: uuid.UUID(text) makes one of a text")
    return command_id


def _check_names(domain_name: str, command_type: str) -> None:
    for what, given in (("a domain", domain_name), ("a command", command_type)):
        if not isinstance(given, str):
            raise MessageRefused(f"{what} is named by a text when a command is sent, not by {_kind(given)}")


def _check_timeout(seconds: float) -> None:
    # The event loop's timers would be out of order for ever with one that is not a number.
    if not isinstance(seconds, int | float) or math.isnan(seconds):
        raise MessageRefused(f"a timeout is a number of seconds, not {seconds!r}")


def _kind(given: object) -> str:
    return f"the class {given.__name__}" if isinstance(given, type) else f"a value of type {type(given).__name__}"


@contextmanager
def _named(command_id: UUID) -> Iterator[None]:
    """Set ``command_id`` on errors: with it, a command whose id was generated can be sent again, too."""
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
        raise NoSchedule(f"the domain {domain_name} has no queue for scheduled commands") from error


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
