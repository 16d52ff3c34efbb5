"""A TCP proxy that a test can cut, slow down or block at a chosen moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

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
        # The first bytes of each connection's client, by both of its sockets.
        self._greetings: dict[asyncio.StreamWriter, bytes] = {}
        self.cuts = 0
        self.delay = 0.0
        self.rate: float | None = None
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        login = self._parts.netloc.rpartition("@")[0]
        self.url = self._parts._replace(netloc=f"{login}@127.0.0.1:{port}").geturl()

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

    def go_on(self) -> None:
        """Pass on what was held, and all that follows."""
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
        if self._server is not None:
            self._server.close()
        self.go_on()
        self.cut()
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
                if answers and self._answers_to_lose and self._lost_by in data:
                    self._answers_to_lose -= 1
                    self.cuts += 1
                    break
                if not answers and len(self._greetings.get(writer, b"")) < _GREETING_BYTES:
                    self._greetings |= {each: self._greetings.get(each, b"") + data for each in both}
                if seconds := self.delay + (0.0 if self.rate is None else len(data) / self.rate):
                    await asyncio.sleep(seconds)
                if self._held in self._greetings.get(writer, b""):
                    await self._flows.wait()
                if writer not in self._discarded:
                    writer.write(data)
            if writer in self._discarded:
                await asyncio.Future()
        except OSError:
            pass
        finally:
            for each in both:
                each.transport.abort()
            self._writers -= both


@asynccontextmanager
async def proxy(url: str) -> AsyncIterator[Proxy]:
    """Start a proxy in front of a server."""
    way = Proxy(url)
    await way.start()
    try:
        yield way
    finally:
        await way.close()
