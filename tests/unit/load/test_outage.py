"""A proxy that is closed for planned outages, and the environment in which workers use it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest

from tests.support.fixtures.waiting import eventually
from worker.errors import SettingsError
from worker.load.outage import PlannedOutage, ServerProxy, interrupted

URL = "postgresql://app:secret@{}/events?sslmode=disable"


def planned(url: str = URL.format("db:5432"), *, up: float = 0.001, down: float = 0.001) -> PlannedOutage:
    return PlannedOutage(domain="new-orders", url=url, replica_urls=("postgresql://r/x",), up=up, down=down)


@asynccontextmanager
async def echoing() -> AsyncIterator[ServerProxy]:
    """A proxy in front of an echo server."""
    handling: list[asyncio.Task[object] | None] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.append(asyncio.current_task())
        try:
            while said := await reader.read(100):
                writer.write(said)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        proxy = ServerProxy(URL.format(f"127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        await proxy.open()
        try:
            yield proxy
        finally:
            await proxy.close()
            await asyncio.gather(*filter(None, handling), return_exceptions=True)


async def connect(proxy: ServerProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(proxy.url)
    assert parts.hostname is not None
    return await asyncio.open_connection(parts.hostname, parts.port)


async def exchange(ends: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
    ends[1].write(b"hello")
    return await ends[0].read(100)


async def leave(ends: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    ends[1].close()
    with suppress(OSError):
        await ends[1].wait_closed()


async def test_a_closed_proxy_breaks_connections_and_refuses_new_ones() -> None:
    async with echoing() as proxy:
        before = proxy.url
        assert before.startswith("postgresql://app:secret@127.0.0.1:")
        assert before.endswith("/events?sslmode=disable")
        ends = await connect(proxy)
        assert await exchange(ends) == b"hello"
        await proxy.close()
        with suppress(ConnectionResetError):  # or the plan ends, whichever comes first
            assert await ends[0].read(100) == b""
        with pytest.raises(ConnectionRefusedError):
            await connect(proxy)
        await proxy.open()
        assert proxy.url == before
        again = await connect(proxy)
        assert await exchange(again) == b"hello"
        await leave(again)
        await leave(ends)
        assert proxy.closures == 1


async def test_after_the_outages_the_proxy_is_open() -> None:
    async with echoing() as proxy:
        async with interrupted(proxy, planned()):

            async def were_some() -> bool:
                return proxy.closures >= 3

            await eventually(were_some, what="three outages")
        ends = await connect(proxy)
        assert await exchange(ends) == b"hello"
        await leave(ends)


async def test_a_load_that_ends_in_an_outage_does_not_wait_for_its_end() -> None:
    async with echoing() as proxy:
        async with asyncio.timeout(60), interrupted(proxy, planned(down=3600)):

            async def is_closed() -> bool:
                return proxy.closures == 1

            await eventually(is_closed, what="the outage")
        await leave(await connect(proxy))


def test_workers_reach_one_domains_database_through_the_proxy() -> None:
    given = {"DATABASE_URL": "a", "DATABASE_URL_NEW_ORDERS_FILE": "/f", "DATABASE_REPLICA_URLS_NEW_ORDERS_FILE": "/g"}
    found = planned().environment(given, "postgresql://way")
    assert {name: value for name, value in found.items() if value} == {
        "DATABASE_URL": "a",
        "DATABASE_URL_NEW_ORDERS": "postgresql://way",
        "DATABASE_REPLICA_URLS_NEW_ORDERS": "postgresql://r/x",
    }


@pytest.mark.parametrize(
    "url", [URL.format("a,b"), "postgresql:///events", "postgresql://app:secret@db/events?sslmode=verify-full"]
)
def test_an_address_that_cannot_be_proxied_is_reported(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^DATABASE_URL_NEW_ORDERS: ") as raised:
        planned(url)
    assert "secret" not in str(raised.value)
