"""The outage: a proxy to a database server that is closed at intervals, as if the server had been stopped."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from worker.credentials import file_variable
from worker.domain_variables import setting_of, suffix_of
from worker.errors import SettingsError
from worker.waiting import first_of

__all__ = ["PlannedOutage", "ServerProxy", "interrupted"]

_CHUNK = 64 * 1024
# Early, so that even a short load loses its store once.
_FIRST_UP = 0.1
_DEFAULT_PORT = 5432


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOutage:
    """A store that the workers of a load run are to lose at intervals.

    Attributes:
        domain: Name of the domain whose store it is.
        url: Address of its primary.
        replica_urls: Addresses of its replicas, which stay reachable.
        up: How long it is reachable between two outages, in seconds; before the first at most a tenth of a second.
        down: How long each outage lasts, in seconds.
    """

    domain: str
    url: str
    replica_urls: tuple[str, ...]
    up: float
    down: float

    def __post_init__(self) -> None:
        """Check the address.

        Raises:
            SettingsError: A proxy cannot stand in for this address: it names several hosts, or none.
        """
        variable = setting_of("database_url", suffix_of(self.domain)).upper()
        parts = urlsplit(self.url)
        if "," in parts.netloc or not parts.hostname:
            raise SettingsError(
                f"{variable}: the run interrupts the connections to this database at times, for which its address "
                "must name one host."
            )
        if parse_qs(parts.query).get("sslmode", [""])[-1] == "verify-full":
            raise SettingsError(
                f"{variable}: the run interrupts the connections to this database at times, through a proxy whose "
                "name is not in the server's certificate: set sslmode=verify-ca for it."
            )

    def environment(self, environment: Mapping[str, str], url: str) -> dict[str, str]:
        """Return an environment in which the domain's database has another address."""
        suffix = suffix_of(self.domain)
        fields = {"database_url": url, "database_replica_urls": ",".join(self.replica_urls), "database_admin_url": ""}
        own = {setting_of(field, suffix): value for field, value in fields.items()}
        files = {file_variable(name): "" for name in own}
        return {**environment, **{name.upper(): value for name, value in own.items()}, **files}


class ServerProxy:
    """A proxy: passes bytes between a port of its own and a server, until it is closed; it can be opened again.

    Args:
        url: The server's address.

    Attributes:
        closures: How often it was closed.
    """

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.closures = 0

    @property
    def url(self) -> str:
        """The server's address through this proxy."""
        login, at, _ = self._target.netloc.rpartition("@")
        return self._target._replace(netloc=f"{login}{at}127.0.0.1:{self._port}").geturl()

    async def open(self) -> None:
        """Accept connections, on the same port as before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Abort every connection, and refuse new ones. The server still executes what it has received."""
        if self._server is None:
            return
        self.closures += 1
        self._server.close()
        self._server = None
        for writer in tuple(self._writers):
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        ends = [writer]
        self._writers.add(writer)
        with suppress(OSError):
            there, back = await asyncio.open_connection(self._target.hostname, self._target.port or _DEFAULT_PORT)
            ends.append(back)
            self._writers.add(back)
            if self._server is not None:  # otherwise it was closed in between
                await asyncio.gather(self._pass(reader, back, ends), self._pass(there, writer, ends))
        await self._end(ends)

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, ends: Sequence[asyncio.StreamWriter]
    ) -> None:
        with suppress(OSError):
            while chunk := await source.read(_CHUNK):
                sink.write(chunk)
                await sink.drain()
        # Both ends are closed together: a session must not outlive its client.
        for writer in ends:
            writer.close()

    async def _end(self, ends: Sequence[asyncio.StreamWriter]) -> None:
        for writer in ends:
            writer.close()
        for writer in ends:
            with suppress(OSError):
                await writer.wait_closed()
        self._writers.difference_update(ends)


@asynccontextmanager
async def interrupted(proxy: ServerProxy, planned: PlannedOutage) -> AsyncIterator[None]:
    """Close a proxy at intervals inside the ``async with``; it is open at its end."""
    over = asyncio.Event()
    task = asyncio.create_task(_interrupt(proxy, planned, over))
    try:
        yield
    finally:
        over.set()
        await task


async def _interrupt(proxy: ServerProxy, planned: PlannedOutage, over: asyncio.Event) -> None:
    rest = min(planned.up, _FIRST_UP)
    while not await _is_set(over, rest):
        await proxy.close()
        await _is_set(over, planned.down)
        await proxy.open()
        rest = planned.up


async def _is_set(over: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set, at most this many seconds, and return whether it is."""
    await first_of(over, within=seconds)
    return over.is_set()
