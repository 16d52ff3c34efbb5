"""The frame reader: stands between a connection's stream and the library, and sees each frame first.

The library gets its stream from a transport factory, and uses only those methods that a ``FrameReader`` has.
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
"""Header of a frame: its type, its channel, and the size of the payload, which one end byte follows."""
FRAME_END = 0xCE
_PROTOCOL = b"AMQP"
_CHUNK_BYTES = 65_536
# How long frames are read without a pause: other tasks on the loop wait.
_BREATH_SECONDS = 0.005


class Bytes(Protocol):
    """The source of bytes: the methods of a ``StreamReader`` that are used here."""

    def at_eof(self) -> bool: ...
    async def read(self, n: int = -1) -> bytes: ...


class FrameReader:
    """Reads many frames at a time, and passes each on unchanged. Subclasses override ``passed_on``.

    Args:
        stream: The stream to read frames from.
    """

    def __init__(self, stream: Bytes) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0
        # Bytes that the library gets next.
        self._passed_on = b""

    def at_eof(self) -> bool:
        """Whether nothing more can be read."""
        return not self._passed_on and self._at == len(self._buffer) and self._stream.at_eof()

    async def read(self, n: int = -1) -> bytes:
        """Return what is left in the buffer, or else read the stream: the library skips bytes that are no frame."""
        rest, self._passed_on = self._passed_on, b""
        if not rest:
            rest, self._buffer, self._at = self._buffer[self._at :], b"", 0
        return rest or await self._stream.read(n)

    async def readexactly(self, n: int) -> bytes:
        """Return exactly ``n`` bytes of the frames that are passed on.

        Raises:
            asyncio.IncompleteReadError: The stream ended before.
            OSError: Reading the stream failed.
        """
        while len(self._passed_on) < n:
            self._passed_on += await self._next(n)
        taken, self._passed_on = self._passed_on[:n], self._passed_on[n:]
        return taken

    def passed_on(self, kind: int, channel: int, start: int, end: int) -> bytes:  # noqa: ARG002  for subclasses
        """Return the bytes that the library gets for a frame; by default the frame itself.

        Args:
            kind: The frame's type.
            channel: The number of its channel.
            start: Offset of the frame in the buffer.
            end: Offset of its end in the buffer.
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
        """Take the next frame that is passed on from the buffer.

        Returns:
            The frame; None if it is not complete yet; empty bytes if other tasks are to run first.
        """
        buffer, breath = self._buffer, time.monotonic()
        while True:
            start = self._at
            if len(buffer) - start <= FRAME.size:
                return None
            kind, channel, size = FRAME.unpack_from(buffer, start)
            if kind == _PROTOCOL[0] and buffer.startswith(_PROTOCOL, start):
                # Not a frame: the broker's protocol header, which says that it speaks another version. The library
                # disconnects.
                end = start + FRAME.size
            else:
                end = start + FRAME.size + size + 1
                if end > len(buffer):
                    return None
            self._at = end
            if buffer[end - 1] != FRAME_END:
                return buffer[start:end]  # the library reports what is wrong with it
            frame = self.passed_on(kind, channel, start, end)
            if frame or time.monotonic() - breath > _BREATH_SECONDS:
                return frame


R = TypeVar("R", bound=FrameReader)


class FrameTransport(TransportFactory, Generic[R]):
    """Connects as the library does, writes through a ``FrameWriter``, and reads through a frame reader if given.

    Args:
        reader: Class of the frame reader; None to read as the library does.

    Attributes:
        reader: The frame reader of the last connection; None before the first, or if no class was given.
        writer: The frame writer of the last connection; None before the first.
    """

    def __init__(self, reader: type[R] | None) -> None:
        self._reader_class = reader
        self.reader: R | None = None
        self.writer: FrameWriter | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection. Raises what the library's own factories raise."""
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        stream, sink = await factory.create(url, **kwargs)
        # The library uses no other methods than these have.
        self.writer = FrameWriter(sink)
        writer = cast("asyncio.StreamWriter", self.writer)
        if self._reader_class is None:
            return stream, writer
        self.reader = self._reader_class(stream)
        return cast("asyncio.StreamReader", self.reader), writer
