"""The frame writer: stands between the library and a connection's stream, and sends many frames at once.

The library writes each frame by itself. To a stream that sends at once, as uvloop's and asyncio's do, each is a system
call of its own, and wakes the broker once more: a fifth of a worker's CPU where commands are answered.
"""

import asyncio

__all__ = ["FrameWriter"]

# So much is sent without waiting for the turn's end.
_FULL_BYTES = 65_536


class FrameWriter:
    """Gathers what is written in one turn of the event loop, and sends it as one.

    It has as much of a ``StreamWriter`` as the library uses. The order of the bytes stays as they were written.

    Args:
        stream: What is sent to.
    """

    def __init__(self, stream: asyncio.StreamWriter) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._gathered: list[bytes] = []
        self._size = 0

    @property
    def transport(self) -> asyncio.WriteTransport:
        """That of the stream."""
        return self._stream.transport

    def write(self, data: bytes) -> None:
        """Send data before the event loop waits for anything; what the stream raises then is the library's to find."""
        if not self._gathered:
            self._loop.call_soon(self._send)
        self._gathered.append(data)
        self._size += len(data)
        if self._size >= _FULL_BYTES:
            self._send()

    async def drain(self) -> None:
        """Send what was gathered, and wait while the stream holds more than its limit.

        Raises:
            OSError: The connection is lost.
        """
        self._send()
        await self._stream.drain()

    def is_closing(self) -> bool:
        """Whether the stream is closed, or is being closed."""
        return self._stream.is_closing()

    def can_write_eof(self) -> bool:
        """Whether the stream can be ended on this side alone."""
        return self._stream.can_write_eof()

    def write_eof(self) -> None:
        """Send what was gathered, then the end."""
        self._send()
        self._stream.write_eof()

    def close(self) -> None:
        """Send what was gathered, then close the stream."""
        self._send()
        self._stream.close()

    async def wait_closed(self) -> None:
        """Wait until the stream is closed.

        Raises:
            OSError: The connection was lost.
        """
        await self._stream.wait_closed()

    def _send(self) -> None:
        gathered, self._gathered, self._size = self._gathered, [], 0
        # A transport that is closed raises at a write, and from a callback that would be the event loop's to tell.
        # Who writes finds out by the reader, which ends with the connection.
        if gathered and not self._stream.is_closing():
            self._stream.write(b"".join(gathered))
