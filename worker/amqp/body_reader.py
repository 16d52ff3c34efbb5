"""The body reader: lets a connection see the bodies of messages, and no property of theirs.

A property that the library cannot read ends the connection. ``codec`` mends the library's readers, for the whole
process; that is for a worker's process to do, and not for a program that only asks for replies. Such a connection
reads through this instead.
"""

import asyncio
import struct
from typing import Any, Protocol

from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from yarl import URL

__all__ = ["BodyReader", "BodyTransport"]

_FRAME = struct.Struct(">BHI")
_HEADER_FRAME = 2
# The class of the method, a weight that nothing uses, and the size of the body; the properties follow.
_CONTENT_BYTES = 12
# Marks that there is not one property.
_NO_PROPERTIES = b"\0\0"
_PROTOCOL = b"AMQP"


class Bytes(Protocol):
    """What is read from: as much of a ``StreamReader`` as the library uses."""

    def at_eof(self) -> bool: ...
    async def read(self, n: int = -1) -> bytes: ...
    async def readexactly(self, n: int) -> bytes: ...


class BodyReader:
    """Reads frames, and hands them on with every content header emptied of its properties.

    Args:
        stream: Where they come from.
    """

    def __init__(self, stream: Bytes) -> None:
        self._stream = stream
        self._frame = b""

    def at_eof(self) -> bool:
        """Whether nothing more can come."""
        return not self._frame and self._stream.at_eof()

    async def read(self, n: int = -1) -> bytes:
        """Return what is left of a frame, or else what the stream has: the library skips what is no frame."""
        rest, self._frame = self._frame, b""
        return rest or await self._stream.read(n)

    async def readexactly(self, n: int) -> bytes:
        """Return a number of bytes of the frames.

        Raises:
            asyncio.IncompleteReadError, OSError: As the stream raises them.
        """
        while len(self._frame) < n:
            self._frame += await self._next_frame()
        taken, self._frame = self._frame[:n], self._frame[n:]
        return taken

    async def _next_frame(self) -> bytes:
        head = await self._stream.readexactly(_FRAME.size)
        if head.startswith(_PROTOCOL):
            # Not a frame: a broker's way to say that it speaks another version. The library ends the connection.
            return head
        kind, channel, size = _FRAME.unpack(head)
        # With the byte that ends it.
        payload = await self._stream.readexactly(size + 1)
        if kind != _HEADER_FRAME:
            return head + payload
        emptied = payload[:_CONTENT_BYTES] + _NO_PROPERTIES
        return _FRAME.pack(kind, channel, len(emptied)) + emptied + payload[-1:]


class BodyTransport(TransportFactory):
    """Connects as the library does, and reads through a ``BodyReader``."""

    def __init__(self, url: URL) -> None:
        self._factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection. Raises what the library's own factories raise."""
        reader, writer = await self._factory.create(url, **kwargs)
        # The library uses no more of it than the ``BodyReader`` has.
        return BodyReader(reader), writer  # type: ignore[return-value]
