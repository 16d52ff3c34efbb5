"""A TCP proxy that a test can cut, slow down or block at a chosen moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tests.support.fixtures.ports import free_port

CONFIRMATION = b"\x00\x3c\x00\x50"
"""The method basic.ack in a frame, by which a broker says that it has stored a message."""
_HEARTBEAT = b"\x08\0\0\0\0\0\0\xce"
_GREETING_BYTES = 4096
_MOST_BYTES = 65536
# Buffer of a slow link: small, so that writers soon wait.
_FEW_BYTES = 1400


class Proxy:
    """Passes bytes between clients and a server.

    Attributes:
        url: The server's address through this proxy.
        cuts: The number of connections that it has cut.
        delay: By how long it delays everything that it passes on, in seconds.
        rate: The most bytes a second on a connection, each way; None for no limit.
        drops: Every chunk of an answer that contains these bytes is dropped; None for no chunk.
        asked: The number of bytes sent to the server, without AMQP's heartbeats.
    """

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._writers: set[asyncio.StreamWriter] = set()
        self._discarded: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._answers_to_lose = 0
        self._lost_by = b""
        self._flows = asyncio.Event()
        self._flows.set()
        self._held = b""
        self._room: int | None = None
        self._is_holding = asyncio.Event()
        self._answers_flow = asyncio.Event()
        self._answers_flow.set()
        # Below the ephemeral ports, so that no other program gets it while the proxy is stopped.
        self._port = free_port()
        # The first bytes of each connection's client, by both of its sockets.
        self._greetings: dict[asyncio.StreamWriter, bytes] = {}
        self.cuts = 0
        self.delay = 0.0
        self.rate: float | None = None
        self.drops: bytes | None = None
        self.asked = 0
        login = self._parts.netloc.rpartition("@")[0]
        self.url = self._parts._replace(netloc=f"{login}@127.0.0.1:{self._port}").geturl()

    async def start(self) -> None:
        """Accept connections; after ``stop`` on the same port as before."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self._port)

    def stop(self) -> None:
        """Cut every connection, and accept none."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def lose_answers(self, count: int = 1, *, only: bytes = b"") -> None:
        """Cut the next connections on which the server answers, before the answer is passed on.

        Args:
            count: The number of connections.
            only: Bytes that the answer contains; other data, such as a heartbeat, is passed on.
        """
        self._answers_to_lose, self._lost_by = count, only

    def hold(self, only: bytes = b"") -> None:
        """Pass nothing on from now, in either direction, like a network partition.

        Args:
            only: Bytes in a client's first message; connections of other clients are passed on.
        """
        self._held = only
        self._flows.clear()

    def hold_answers(self, *, after: int = 0) -> None:
        """Pass on ``after`` more bytes of what the server sends, then nothing until ``go_on``."""
        self._room = after
        self._is_holding.clear()
        self._answers_flow.clear()

    async def holding(self) -> None:
        """Wait until bytes from the server are held."""
        await self._is_holding.wait()

    def go_on(self) -> None:
        """Pass on what was held, and all that follows."""
        self._room = None
        self._answers_flow.set()
        self._flows.set()

    def discard_traffic(self) -> None:
        """Drop everything sent on the present connections without closing them. New connections work."""
        self._discarded |= self._writers

    def lead_to(self, url: str) -> None:
        """Lead new connections to another server, like a service address after a failover. Present ones stay."""
        self._parts = urlsplit(url)

    def cut(self) -> None:
        """Cut every connection."""
        self.cuts += 1
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        self.go_on()
        self.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        both = {writer, upstream_writer}
        self._writers |= both
        for task in (
            asyncio.create_task(self._pump(reader, upstream_writer, both, answers=False)),
            asyncio.create_task(self._pump(upstream_reader, writer, both, answers=True)),
        ):
            self._tasks.add(task)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        both: set[asyncio.StreamWriter],
        *,
        answers: bool,
    ) -> None:
        try:
            while data := await reader.read(_MOST_BYTES if self.rate is None else _FEW_BYTES):
                if answers and self._is_to_lose(data):
                    break
                if not answers:
                    self._note(data, both)
                elif self.drops is not None and self.drops in data:
                    continue
                await self._pass_on(data, writer, answers=answers)
            if writer in self._discarded:
                await asyncio.Future()
        except OSError:
            pass
        finally:
            for each in both:
                each.transport.abort()
            self._writers -= both

    def _is_to_lose(self, answer: bytes) -> bool:
        if not self._answers_to_lose or self._lost_by not in answer:
            return False
        self._answers_to_lose -= 1
        self.cuts += 1
        return True

    def _note(self, request: bytes, both: set[asyncio.StreamWriter]) -> None:
        if request != _HEARTBEAT:
            self.asked += len(request)
        for each in both:
            greeting = self._greetings.get(each, b"")
            if len(greeting) < _GREETING_BYTES:
                self._greetings[each] = greeting + request

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        if seconds := self.delay + (0.0 if self.rate is None else len(data) / self.rate):
            await asyncio.sleep(seconds)
        if self._held in self._greetings.get(writer, b""):
            await self._flows.wait()
        if answers and self._room is not None:
            data = await self._after_the_first(data, self._room, writer)
        if writer not in self._discarded:
            writer.write(data)

    async def _after_the_first(self, data: bytes, room: int, writer: asyncio.StreamWriter) -> bytes:
        """Pass on the bytes that ``hold_answers`` still allows; return the rest after ``go_on``."""
        first, rest = data[:room], data[room:]
        self._room = room - len(first)
        writer.write(first)
        if rest:
            self._is_holding.set()
            await self._answers_flow.wait()
        return rest


@asynccontextmanager
async def proxy(url: str) -> AsyncIterator[Proxy]:
    """Start a proxy in front of a server."""
    way = Proxy(url)
    await way.start()
    try:
        yield way
    finally:
        await way.close()
