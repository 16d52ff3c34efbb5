"""Dialling: how the library connects to the broker, and what it leaves behind when a connection is gone."""

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
"""How often the broker and a connection tell each other that they are there; twice as long is silence."""


class _Wire(WireConnection):
    """The library's connection of frames. As many wait to be written as are written at once.

    Of the library's ten, the eleventh waits with its channel's lock, and from then on each waits a turn of the loop for
    the one before it: a system call for each.
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
    """The library's connection; it can also be told what the broker's certificate is expected to name, and how to read.

    Args:
        url: The broker's address.
        transport: How it is connected; None for the library's own way.
        settings: As the library's connection takes them.
    """

    PARAMETERS = (*aio_pika.Connection.PARAMETERS, ConnectionParameter(name=SERVER_NAME, parser=str, is_kwarg=True))

    def __init__(self, url: URL, *, transport: TransportFactory | None = None, **settings: Any) -> None:
        super().__init__(url, **settings)
        if transport is not None:
            self.kwargs["transport_factory"] = transport

    async def connect(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  the library's signature
        """Connect. One that fails counts as closed: the library would close it when it is found to be garbage.

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
        name: What the connection is called in the broker's management pages.
        transport: How it is connected.
        seconds: How long it may take.
        heartbeat: See ``HEARTBEAT_SECONDS``.

    Raises:
        Exception: Whatever the library raises.
    """
    # The library's own time limit can leave an attempt's error behind, for the event loop to complain of.
    async with asyncio.timeout(seconds):
        return await aio_pika.connect(
            url,
            connection_class=cast("type[AbstractConnection]", partial(_Connection, transport=transport)),
            # Read anew each time: certificates are renewed while a worker runs.
            ssl_context=await asyncio.to_thread(tls_context, url),
            timeout=None,
            heartbeat=heartbeat,
            client_properties={"connection_name": name},
        )


async def release_writers(wire: WireChannel) -> None:
    """Let go of the tasks that wait to write to a channel that is closed.

    The library's queue of frames is bounded, and nothing empties it once the connection's writer has ended: a task that
    waits there to acknowledge would wait forever.
    """
    while not wire.write_queue.empty():
        while not wire.write_queue.empty():
            wire.write_queue.get_nowait()
        await asyncio.sleep(0)  # those let go put their frames now
