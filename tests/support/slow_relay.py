"""A relay between a program and the broker that a test can cut, restore or hold."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from tests.support.fixtures.ports import free_port

_CHUNK = 64 * 1024
CONFIRMATION = b"\x00\x3c\x00\x50"
"""The method basic.ack in a frame, by which a broker says that it has stored a message."""
_HEARTBEAT = b"\x08\0\0\0\0\0\0\xce"


class Relay:
    """Passes bytes between its own port and a server, both ways.

    Attributes:
        url: The server's address through the relay.
        loses: Every chunk from the server that contains these bytes is dropped.
        asked: The number of bytes sent to the server, without heartbeats.
    """

    def __init__(self, url: str) -> None:
        self.loses: bytes | None = None
        self._target = urlsplit(url)
        # Below the ephemeral ports, so that no other program gets it while the relay does not listen.
        self._port = free_port()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._ends: set[asyncio.Task[None]] = set()
        self.asked = 0
        self._room: int | None = None
        self._holding, self._released = asyncio.Event(), asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str) -> AsyncIterator["Relay"]:
        relay = cls(url)
        await relay.mend()
        try:
            yield relay
        finally:
            await relay.cut()

    @property
    def url(self) -> str:
        user = self._target.netloc.rpartition("@")[0]
        return self._target._replace(netloc=f"{user}@127.0.0.1:{self._port}").geturl()

    async def cut(self) -> None:
        """Break every connection, and accept none."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._ends, return_exceptions=True)

    async def mend(self) -> None:
        """Accept connections on the same port as before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)

    def hold_after(self, size: int) -> None:
        """Pass on ``size`` more bytes of what the server sends, then nothing until ``release``."""
        self._room = size
        self._holding.clear()
        self._released.clear()

    async def held(self) -> None:
        """Wait until bytes from the server are held."""
        await self._holding.wait()

    def release(self) -> None:
        """Pass on everything again."""
        self._room = None
        self._released.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        for source, sink in ((reader, back), (there, writer)):
            self._writers.add(sink)
            task = asyncio.create_task(self._pass(source, sink, is_answer=source is there))
            self._ends.add(task)
            task.add_done_callback(self._ends.discard)

    async def _after_the_first(self, chunk: bytes, sink: asyncio.StreamWriter) -> bytes:
        """Pass on the bytes that ``hold_after`` still allows; return the rest after ``release``."""
        if self._room is None:
            return chunk
        first, rest = chunk[: self._room], chunk[self._room :]
        self._room -= len(first)
        sink.write(first)
        if rest:
            self._holding.set()
            await self._released.wait()
        return rest

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_answer: bool) -> None:
        with suppress(OSError):
            while chunk := await source.read(_CHUNK):
                if is_answer:
                    if self.loses is not None and self.loses in chunk:
                        continue
                    chunk = await self._after_the_first(chunk, sink)
                elif chunk != _HEARTBEAT:
                    self.asked += len(chunk)
                sink.write(chunk)
                await sink.drain()
        sink.close()
        self._writers.discard(sink)
        with suppress(OSError):
            await sink.wait_closed()
