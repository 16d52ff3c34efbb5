"""Dialling: how the library connects to the broker, and cleaning up after a connection that is gone."""

import asyncio
from functools import partial
from typing import Any, cast

import aio_pika
from aio_pika.abc import AbstractConnection, ConnectionParameter, UnderlayConnection
from aiormq import Channel as WireChannel
from aiormq import Connection as WireConnection
from aiormq.connection import TransportFactory
from yarl import URL

from worker.amqp.tls import SERVER_NAME, tls_context

__all__ = ["HEARTBEAT_SECONDS", "dialled", "release_writers"]

HEARTBEAT_SECONDS = 15
"""Interval of heartbeats between the broker and a connection, in seconds; after two without one, it is dead."""


class _Wire(WireConnection):
    """The library's connection of frames, with a longer queue of frames to write.

    With the library's limit of ten, the eleventh frame waits while it holds its channel's lock. From then on, each
    frame waits a turn of the loop for the one before it, and costs a system call.
    """

    FRAME_BUFFER_SIZE = 1024


class _Underlay(UnderlayConnection):
    @classmethod
    async def make_connection(
        cls,
        url: URL,
        timeout: float | None = None,  # noqa: ASYNC109  the library's signature
        **settings: Any,
    ) -> WireConnection:
        wire = _Wire(url, **settings)
        async with asyncio.timeout(timeout):
            await wire.connect()
        await wire.ready()
        return wire


class _Connection(aio_pika.Connection):
    """The library's connection, with two more settings: the name in the broker's certificate, and the transport.

    Args:
        url: The broker's address.
        transport: Factory of the transport; None for the library's own.
        settings: Further settings of the library's connection.
    """

    PARAMETERS = (*aio_pika.Connection.PARAMETERS, ConnectionParameter(name=SERVER_NAME, parser=str, is_kwarg=True))

    def __init__(self, url: URL, *, transport: TransportFactory | None = None, **settings: Any) -> None:
        super().__init__(url, **settings)
        if transport is not None:
            self.kwargs["transport_factory"] = transport

    async def connect(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  the library's signature
        """Connect. If that fails, close: otherwise the library would close it when it is garbage-collected.

        By then there may be no event loop, or another one.
        """
        try:
            self.transport = await _Underlay.connect(self.url, self._on_connection_close, timeout, **self.kwargs)
            await self._on_connected()
        except BaseException:
            await self.close()
            raise


async def dialled(
    url: str, *, name: str, transport: TransportFactory, seconds: float, heartbeat: int = HEARTBEAT_SECONDS
) -> AbstractConnection:
    """Connect to the broker.

    Args:
        url: The broker's address.
        name: Name of the connection in the broker's management pages.
        transport: Factory of the transport.
        seconds: How long connecting may take.
        heartbeat: Interval of heartbeats, in seconds: see ``HEARTBEAT_SECONDS``.

    Raises:
        Exception: Any error of the library.
    """
    # The library's own timeout can leave an exception that was never retrieved, which the event loop logs.
    async with asyncio.timeout(seconds):
        return await aio_pika.connect(
            url,
            connection_class=cast("type[AbstractConnection]", partial(_Connection, transport=transport)),
            # Read anew each time: certificates may be renewed while a worker runs.
            ssl_context=await asyncio.to_thread(tls_context, url),
            timeout=None,
            heartbeat=heartbeat,
            client_properties={"connection_name": name},
        )


async def release_writers(wire: WireChannel) -> None:
    """Release the tasks that wait to write to a closed channel.

    The library's queue of frames is bounded, and is not read any more once the connection's writer has ended: a task
    that waits there to acknowledge would wait for ever.
    """
    while not wire.write_queue.empty():
        while not wire.write_queue.empty():
            wire.write_queue.get_nowait()
        await asyncio.sleep(0)  # the released tasks put their frames now
