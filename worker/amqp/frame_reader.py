"""The frame reader: stands between a connection's stream and the library, and sees each frame first.

The library takes its stream from a transport factory, and uses no more of it than a ``FrameReader`` has.
"""

import asyncio
import struct
import time
from typing import Any, Generic, Protocol, TypeVar, cast

from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from yarl import URL

from worker.amqp.frame_writer import FrameWriter

__all__ = ["BODY_FRAME", "FRAME", "FRAME_END", "HEADER_FRAME", "METHOD_FRAME", "FrameReader", "FrameTransport"]

METHOD_FRAME, HEADER_FRAME, BODY_FRAME = 1, 2, 3
FRAME = struct.Struct(">BHI")
"""How a frame begins: its kind, its channel, and how many bytes follow before the one that ends it."""
FRAME_END = 0xCE
_PROTOCOL = b"AMQP"
_CHUNK_BYTES = 65_536
# For so long frames are taken without a pause: others on the loop wait.
_BREATH_SECONDS = 0.005


class Bytes(Protocol):
    """What is read from: as much of a ``StreamReader`` as the library uses."""

    def at_eof(self) -> bool: ...
    async def read(self, n: int = -1) -> bytes: ...


class FrameReader:
    """Reads frames as they come, many at a time, and hands them on as they are. Others change ``passed_on``.

    Args:
        stream: Where they come from.
    """

    def __init__(self, stream: Bytes) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0
        # What the library is handed next.
        self._passed_on = b""

    def at_eof(self) -> bool:
        """Whether nothing more can come."""
        return not self._passed_on and self._at == len(self._buffer) and self._stream.at_eof()

    async def read(self, n: int = -1) -> bytes:
        """Return what is left of a frame, or else what the stream has: the library skips what is no frame."""
        rest, self._passed_on = self._passed_on, b""
        if not rest:
            rest, self._buffer, self._at = self._buffer[self._at :], b"", 0
        return rest or await self._stream.read(n)

    async def readexactly(self, n: int) -> bytes:
        """Return a number of bytes of the frames.

        Raises:
            asyncio.IncompleteReadError: The stream ended before.
            OSError: As the stream raises it.
        """
        while len(self._passed_on) < n:
            self._passed_on += await self._next(n)
        taken, self._passed_on = self._passed_on[:n], self._passed_on[n:]
        return taken

    def passed_on(self, kind: int, channel: int, start: int, end: int) -> bytes:  # noqa: ARG002  for those that look
        """Return what the library gets to see of a frame: by default the frame.

        Args:
            kind: The frame's kind.
            channel: Its channel.
            start: Where it begins in the buffer.
            end: Where the next one begins.
        """
        return self._buffer[start:end]

    async def _next(self, wanted: int) -> bytes:
        while True:
            frame = self._frame()
            if frame:
                return frame
            if frame is None:
                more = await self._stream.read(_CHUNK_BYTES)
                if not more:
                    raise asyncio.IncompleteReadError(self._passed_on + self._buffer[self._at :], wanted)
                self._buffer, self._at = self._buffer[self._at :] + more, 0
            else:
                await asyncio.sleep(0)

    def _frame(self) -> bytes | None:
        """Take the next frame from the buffer that is handed on.

        Returns:
            It; None if the next one is not there as a whole; nothing if others are to have their turn.
        """
        buffer, breath = self._buffer, time.monotonic()
        while True:
            start = self._at
            if len(buffer) - start <= FRAME.size:
                return None
            kind, channel, size = FRAME.unpack_from(buffer, start)
            if kind == _PROTOCOL[0] and buffer.startswith(_PROTOCOL, start):
                # Not a frame: a broker's way to say that it speaks another version. The library ends the connection.
                end = start + FRAME.size
            else:
                end = start + FRAME.size + size + 1
                if end > len(buffer):
                    return None
            self._at = end
            if buffer[end - 1] != FRAME_END:
                return buffer[start:end]  # the library says what is wrong with it
            frame = self.passed_on(kind, channel, start, end)
            if frame or time.monotonic() - breath > _BREATH_SECONDS:
                return frame


R = TypeVar("R", bound=FrameReader)


class FrameTransport(TransportFactory, Generic[R]):
    """Connects as the library does, writes through a frame writer, and reads through a frame reader, if there is one.

    Args:
        reader: What reads; None for the library's own way.

    Attributes:
        reader: That of the last connection; None before there is one.
        writer: What the last connection is written to; None before there is one.
    """

    def __init__(self, reader: type[R] | None) -> None:
        self._reader_class = reader
        self.reader: R | None = None
        self.writer: FrameWriter | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection. Raises what the library's own factories raise."""
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        stream, sink = await factory.create(url, **kwargs)
        # The library uses no more of them than there is.
        self.writer = FrameWriter(sink)
        writer = cast("asyncio.StreamWriter", self.writer)
        if self._reader_class is None:
            return stream, writer
        self.reader = self._reader_class(stream)
        return cast("asyncio.StreamReader", self.reader), writer
