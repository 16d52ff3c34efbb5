"""The probe against servers that are no workers; the tests of the health server cover the rest."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from worker.supervision.health import Health
from worker.supervision.health_server import health_served
from worker.supervision.probe import ask

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


@asynccontextmanager
async def answering(text: bytes, *, closes: bool = True) -> AsyncIterator[int]:
    """A server that sends every client the same bytes; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        if not closes:
            while await reader.read(4096):
                pass
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("health", "ready", "good"),
    [
        (Health(live=True, ready=True, reason="consuming"), True, True),
        (Health(live=True, ready=False, reason="draining"), True, False),
        (Health(live=True, ready=False, reason="draining"), False, True),
        (Health(live=False, ready=False, reason="stuck"), False, False),
    ],
)
async def test_a_workers_response_is_accepted(health: Health, *, ready: bool, good: bool) -> None:
    async with health_served("127.0.0.1", 0, lambda: health) as port:
        assert port is not None
        assert await asyncio.to_thread(ask, "127.0.0.1", port, ready=ready) == (good, health.reason)
        # A worker that listens on all addresses is probed at the loopback address.
        assert await asyncio.to_thread(ask, "0.0.0.0", port, ready=ready) == (good, health.reason)  # noqa: S104  the setting under test


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b'SSH-2.0 200 OK\r\n\r\n{"reason": "consuming"}',
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b'HTTP/1.1 200 OK\r\n\r\n"consuming"',
        b'HTTP/1.1 200 OK\r\n\r\n{"status": "ok"}',
        b'HTTP/1.1 200 OK\r\n\r\n{"reason": 1}',
        b'HTTP/1.1 fine\r\n\r\n{"reason": "consuming"}',
        b"HTTP/1.1\r\n\r\n{}",
        b"\xff\xfe\xfd",
    ],
)
async def test_another_server_is_not_taken_for_a_worker(text: bytes) -> None:
    async with answering(text) as port:
        told = f"another program than a worker answers on 127.0.0.1, port {port}"
        assert await asyncio.to_thread(ask, "127.0.0.1", port, ready=False) == (False, told)


async def test_a_silent_server_times_out() -> None:
    async with answering(b"HTTP/1.1 200", closes=False) as port:
        good, why = await asyncio.to_thread(ask, "127.0.0.1", port, ready=False, seconds=0.2)
        assert (good, why) == (False, f"no worker answers on 127.0.0.1, port {port}: timed out")


async def test_an_endless_response_is_limited() -> None:
    async with answering(b"x" * (1 << 20), closes=False) as port:
        good, why = await asyncio.to_thread(ask, "127.0.0.1", port, ready=False, seconds=3600)
        assert (good, why) == (False, f"another program than a worker answers on 127.0.0.1, port {port}")


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 64 + ".b", "..", "\udcff"])
def test_an_unknown_host_is_reported(host: str) -> None:
    good, why = ask(host, 1, ready=False)
    assert not good
    assert why.startswith("no worker answers on ")
