"""The frame writer: stands between the library and a connection's stream, and sends many frames at once.

The library writes each frame separately. In a stream that sends at once, as uvloop's and asyncio's do, each is a system
call, and wakes the broker: a fifth of a worker's CPU time when commands are answered.
"""

import asyncio

__all__ = ["FrameWriter"]

# This much is sent without waiting for the end of the turn.
_FULL_BYTES = 65_536
# What is left to be sent by then was not asked for: the library closes after the broker's answer, or gives up.
_CLOSE_SECONDS = 2.0


class FrameWriter:
    """Collects what is written in one turn of the event loop, and sends it with one call.

    It has the methods of a ``StreamWriter`` that the library uses. The order of the bytes is kept.

    Args:
        stream: The stream to write to.
    """

    def __init__(self, stream: asyncio.StreamWriter) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._gathered: list[bytes] = []
        self._size = 0

    @property
    def transport(self) -> asyncio.WriteTransport:
        """The stream's transport."""
        return self._stream.transport

    def write(self, data: bytes) -> None:
        """Send data before the end of this turn of the loop. Errors of the stream are not raised here."""
        if not self._gathered:
            self._loop.call_soon(self._send)
        self._gathered.append(data)
        self._size += len(data)
        if self._size >= _FULL_BYTES:
            self._send()

    async def drain(self) -> None:
        """Send what was collected, and wait while the stream's buffer is above its limit.

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
        """Send what was collected, then the end of the stream."""
        self._send()
        self._stream.write_eof()

    def close(self) -> None:
        """Send what was collected, then close the stream. Safe to repeat."""
        self._send()
        # asyncio's transport for TLS can no longer be aborted after its second close.
        if not self._stream.is_closing():
            self._stream.close()

    async def wait_closed(self) -> None:
        """Wait until the stream is closed. After two seconds, or if the call is cancelled, the stream is aborted.

        Under TLS, a stream waits half a minute for the farewell of a broker that has gone silent. The library waits as
        long, also when it is cancelled.

        Raises:
            OSError: The connection was lost.
        """
        aborting = self._loop.call_later(_CLOSE_SECONDS, self.transport.abort)
        try:
            await self._stream.wait_closed()
        except asyncio.CancelledError:
            self.transport.abort()
            raise
        finally:
            aborting.cancel()

    def _send(self) -> None:
        gathered, self._gathered, self._size = self._gathered, [], 0
        # A closed transport raises at a write, and in a callback the event loop would log that. The library notices the
        # lost connection by the reader, which ends with it.
        if gathered and not self._stream.is_closing():
            self._stream.write(b"".join(gathered))
