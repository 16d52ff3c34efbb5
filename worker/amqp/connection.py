"""The broker: one connection with one channel, opened when needed and again after it was lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import cast

from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq import Channel as WireChannel

from eventstore.backoff import Backoff
from worker.amqp.delivery_reader import DeliveryReader, Received
from worker.amqp.dialing import HEARTBEAT_SECONDS, dialled, release_writers
from worker.amqp.frame_reader import FrameReader, FrameTransport
from worker.amqp.kept_cancellation import KeptCancellation
from worker.amqp.library_logs import unlogged
from worker.amqp.refusals import LOST, broker_address, translated
from worker.errors import BrokerBusy, BrokerMisconfigured, BrokerUnavailable

__all__ = ["Link", "WireChannel"]

_FIRST_DELAY = 0.05
_LONGEST_DELAY = 5.0
_PREPARE_SECONDS = 30.0
_CLOSE_SECONDS = 5.0
# The payload of a frame of 128 KB, the default of brokers: the frame without its 8 bytes of header and end.
_LARGEST_PAYLOAD = 128 * 1024 - 8
# The payload of a frame whose size the broker does not limit: what the field for its size can hold.
_UNLIMITED_PAYLOAD = 2**32 - 1


class Link:
    """A connection and a channel to the broker, for one purpose: consumers and publishers do not share one.

    aio-pika's robust classes are not used: they wait for a reconnection without a limit, at fixed intervals, and replay
    declarations that ``prepare`` makes.

    Args:
        url: The broker's address.
        name: Name of the connection in the broker's management pages.
        prepare: Called with every newly opened channel, before any caller gets it.
        reader: Class that reads the frames before the library; None for none. Without one, a message whose properties
            the library cannot decode ends the connection, unless ``install_lenient_codec`` was called.
        prepare_seconds: How long opening and preparing a channel may take, before another connection is tried.
        heartbeat: Interval of heartbeats, in seconds. After two without one, the broker closes the connection and
            requeues its deliveries.
        on_trouble: Called with the error of each attempt to connect that is followed by another one.

    Raises:
        BrokerMisconfigured: The address cannot be parsed.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        prepare: Callable[[AbstractChannel], Awaitable[None]] | None = None,
        reader: type[FrameReader] | None = None,
        prepare_seconds: float = _PREPARE_SECONDS,
        heartbeat: int = HEARTBEAT_SECONDS,
        on_trouble: Callable[[BrokerUnavailable], None] = lambda _: None,
    ) -> None:
        # Before any attempt: no attempt would make a wrong address right.
        self._address = broker_address(url)
        self._url = url
        self._name = name
        self._prepare = prepare
        self._prepare_seconds = prepare_seconds
        self._heartbeat = heartbeat
        self._transport = FrameTransport(reader)
        self._on_trouble = on_trouble
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._wire: WireChannel | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self._preparing = False
        self._trouble: BrokerUnavailable | None = None
        self._largest_payload = _LARGEST_PAYLOAD
        self._releasing: set[asyncio.Task[None]] = set()

    async def wire(self) -> WireChannel:
        """Return the open channel; open it if there is none, once for all callers that wait.

        It tries until the caller is cancelled, with full jitter between the attempts.

        Raises:
            BrokerMisconfigured: The broker refuses the connection, or a request that ``prepare`` makes.
            BrokerUnavailable: The link was closed.
        """
        if self._wire is not None and not self._wire.is_closed:
            return self._wire
        async with self._opening:
            backoff = Backoff(first=_FIRST_DELAY, longest=_LONGEST_DELAY)
            while self._wire is None or self._wire.is_closed:
                if self._closed:
                    raise BrokerUnavailable("this connection was closed")
                try:
                    with unlogged():
                        await self._open()
                except BrokerUnavailable as error:
                    self._trouble = error
                    self._on_trouble(error)
                    await backoff.rest()
            self._trouble = None
            return self._wire

    @property
    def is_open(self) -> bool:
        """Whether the channel is open now."""
        return self._wire is not None and not self._wire.is_closed

    @property
    def largest_payload(self) -> int:
        """The largest payload of one frame in bytes, as negotiated by the last connection."""
        return self._largest_payload

    @asynccontextmanager
    async def side_channel(self, *, confirms: bool = False) -> AsyncIterator[AbstractChannel]:
        """Open another channel on the connection, for requests that may be refused: a refusal closes their channel.

        A cancellation inside is not mistaken for a refusal: see ``KeptCancellation``.
        """
        # While the first channel is prepared, the connection is there already.
        if not self._preparing:
            await self.wire()
        with KeptCancellation():
            async with self._another(confirms=confirms) as channel:
                yield channel

    async def channel(self, *, confirms: bool = False) -> AbstractChannel:
        """Open another channel, which lives as long as the connection unless it is closed earlier.

        Args:
            confirms: Whether it is in publisher confirm mode.

        Raises:
            BrokerUnavailable: There is no connection at the moment.
        """
        channel = self._another(confirms=confirms)
        with unlogged(), KeptCancellation():
            await channel.initialize()
        return channel

    def _another(self, *, confirms: bool = False) -> AbstractChannel:
        if self._connection is None:
            raise BrokerUnavailable("this connection was closed")
        return self._connection.channel(publisher_confirms=confirms, on_return_raises=confirms)

    @staticmethod
    async def wire_of(channel: AbstractChannel) -> WireChannel:
        """Return the library channel below a channel: it acknowledges and publishes without an object per message."""
        return cast("WireChannel", await channel.get_underlay_channel())

    def take_deliveries(self, wire: WireChannel, take: Callable[[Received], None]) -> None:
        """Have the deliveries of a channel passed to a callback as they come, bypassing the library.

        Args:
            wire: The channel. It has no consumer yet.
            take: Called with each delivery, in order, until the channel is closed. It must not block.

        Raises:
            TypeError: The link was not made with a ``DeliveryReader``.
        """
        reader = self._transport.reader
        if not isinstance(reader, DeliveryReader):
            raise TypeError("this link has no reader of deliveries")
        # The broker requeues what arrives after the close.
        reader.tap(wire.number, lambda received: None if wire.is_closed else take(received))

    async def reset(self) -> None:
        """Drop the connection, if there is one; the next ``wire`` opens another."""
        with unlogged():
            await self._discard()

    async def close(self) -> None:
        """Close the connection, if there is one, within five seconds, whatever the broker does. Safe to repeat."""
        self._closed = True
        with unlogged():
            await self._discard()

    def cut(self) -> None:
        """Abort the connection, if there is one.

        Closing would wait to write the pending frames to a broker that does not read, for as long as TCP tries, and
        would keep the process from ending.
        """
        if self._transport.writer is not None:
            self._transport.writer.transport.abort()

    def translating(self, *, holds_groups: bool = False) -> "_Translating":
        """Return an ``async with`` that raises the worker's own errors in place of the library's.

        Args:
            holds_groups: Whether the block may contain task groups, as when a caller's code runs inside.

        Raises:
            BrokerMisconfigured: The broker refuses the user, the virtual host, a right or a declaration; one side
                refuses the other's certificate; or a TLS file cannot be used.
            BrokerUnavailable: The broker cannot be reached, or the connection broke. This also replaces a cancellation
                that did not come from outside: the library cancels its waiting callers when a channel closes.
            asyncio.CancelledError: The task was cancelled from outside, and the library raised another error in place
                of that. Not with ``holds_groups``.
        """
        return _Translating(self, None if holds_groups else KeptCancellation())

    async def translation(
        self, error: BaseException, *, is_cancelled: bool
    ) -> BrokerMisconfigured | BrokerUnavailable | None:
        """Return the worker's own error for one of the library's; None for any other error.

        Args:
            error: The error that was raised.
            is_cancelled: Whether the task was cancelled from outside, so that a cancellation is not the library's.
        """
        if isinstance(error, TimeoutError):
            return await self.diagnosis()
        return translated(error, self._address, is_cancelled=is_cancelled, is_dialling=self._connection is None)

    async def diagnosis(self) -> BrokerUnavailable:
        """Return why the broker does not answer."""
        if self._trouble is not None:
            return type(self._trouble)(str(self._trouble))
        transport = None if self._connection is None else self._connection.transport
        if transport is not None:
            try:
                async with asyncio.timeout(0):
                    await transport.connection.ready()
            except TimeoutError:
                return BrokerBusy(f"RabbitMQ at {self._address} takes no messages now: it is short of memory or disk")
        return BrokerUnavailable(f"RabbitMQ at {self._address} did not answer in time")

    async def _open(self) -> None:
        await self._discard()
        async with self.translating():
            try:
                self._connection = await dialled(
                    self._url,
                    name=self._name,
                    transport=self._transport,
                    seconds=_LONGEST_DELAY,
                    heartbeat=self._heartbeat,
                )
                # A broker that has just restarted may never answer a declaration; it does on a new connection.
                async with asyncio.timeout(self._prepare_seconds):
                    channel = self._connection.channel(publisher_confirms=True, on_return_raises=True)
                    await channel.initialize()
                    if self._prepare is not None:
                        self._preparing = True
                        try:
                            await self._prepare(channel)
                        finally:
                            self._preparing = False
                    wire = await self.wire_of(channel)
            except BaseException:
                await self._discard()
                raise
        # Only when this channel closes: all channels of a connection share one queue of frames, which is discarded
        # here.
        wire.closing.add_done_callback(lambda _: self._release(wire))
        # The channel object is kept: it is closed when it is garbage-collected.
        self._channel, self._wire = channel, wire
        # The library subtracts from a limit of 0, which means that there is none.
        self._largest_payload = wire.max_content_size if wire.max_content_size > 0 else _UNLIMITED_PAYLOAD

    def _release(self, wire: WireChannel) -> None:
        task = asyncio.get_running_loop().create_task(release_writers(wire))
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def _discard(self) -> None:
        connection, channel = self._connection, self._channel
        self._connection = self._channel = self._wire = None
        if connection is None:
            self.cut()  # what a failed attempt to connect has left
            return
        loop = asyncio.get_running_loop()
        closed_by = loop.time() + _CLOSE_SECONDS
        # The library goes on waiting for the broker after it is cancelled, and stops when the connection is lost.
        cutting = loop.call_at(closed_by, self.cut)
        try:
            if channel is not None and not channel.is_closed:
                # Closing the channel first makes the broker confirm that it received every acknowledgement sent before;
                # closing the connection would drop those that wait to be written.
                with KeptCancellation(*LOST):
                    async with asyncio.timeout_at(closed_by):
                        await channel.close()
            with KeptCancellation(*LOST):  # a broken connection needs no close
                async with asyncio.timeout_at(closed_by):
                    await connection.close()
        finally:
            cutting.cancel()
            self.cut()


class _Translating:
    """What ``Link.translating`` returns. Not a generator, for speed: every message that is sent passes through one."""

    __slots__ = ("_kept", "_link")

    def __init__(self, link: Link, kept: KeptCancellation | None) -> None:
        self._link = link
        self._kept = kept

    async def __aenter__(self) -> None:
        if self._kept is not None:
            self._kept.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            return
        is_cancelled = _is_cancelled() if self._kept is None else self._kept.is_cancelled
        translated = await self._link.translation(error, is_cancelled=is_cancelled)
        if translated is None:
            return
        if self._kept is not None:
            self._kept.__exit__(kind, error, traceback)
        raise translated from error


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
