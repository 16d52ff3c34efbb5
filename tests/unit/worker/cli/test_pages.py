"""The pages that ``worker check`` names."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.support.fixtures.ports import free_port
from worker.cli import pages as looked_at
from worker.cli.pages import pages
from worker.settings import Settings


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """A server that gives every client one answer; its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            tasks.add(task)
        # A client that only checks for a listener disconnects without a request.
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        # Otherwise a leftover would fail another test.
        await asyncio.gather(*tasks)


@pytest.fixture(autouse=True)
def no_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other program on this machine is contacted."""
    monkeypatch.setattr(looked_at, "CONSOLE_PORT", free_port())


async def test_pages_are_listed_without_passwords_and_unreachable_ones_are_marked() -> None:
    closed = free_port()
    async with answering(b"") as port:
        settings = Settings(
            rabbitmq_management_url=f"http://worker:s3cret@127.0.0.1:{port}",
            worker_trace_url=f"http://127.0.0.1:{closed}/jaeger/trace/{{trace_id}}",
            worker_metrics_url=f"http://viewer:s3cret@127.0.0.1:{port}/graph?x=1",
        )
        found = await pages(settings)
    assert [(each.part, each.good, each.text) for each in found] == [
        ("page of RabbitMQ", True, f"http://127.0.0.1:{port}/"),
        ("page of traces", True, f"http://127.0.0.1:{closed}/jaeger (does not answer from here)"),
        ("page of metrics", True, f"http://127.0.0.1:{port}/graph"),
    ]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://traces.example:443/trace/{trace_id}?uiEmbed=v0", "https://traces.example:443/"),
        ("https://grafana.example/explore?left={trace_id}", "https://grafana.example/"),
    ],
)
async def test_the_page_of_traces_is_shown_without_a_trace_id(
    url: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio, "open_connection", refused)
    (found,) = await pages(Settings(worker_trace_url=url))
    assert found.text == f"{shown} (does not answer from here)"


@pytest.mark.parametrize(
    ("answer", "is_console"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/css; charset=utf-8\r\n\r\n", True),
        (b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="worker console", charset="UTF-8"\r\n\r\n', True),
        (b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n\r\n{}", False),
        (b"", False),
    ],
)
async def test_only_a_console_is_listed_as_one(
    answer: bytes, *, is_console: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with answering(answer) as port:
        monkeypatch.setattr(looked_at, "CONSOLE_PORT", port)
        found = await pages(Settings())
    assert [(each.part, each.text) for each in found] == (
        [("page of the console", f"http://127.0.0.1:{port}/")] if is_console else []
    )
