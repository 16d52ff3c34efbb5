"""The health server's responses to probes, on real sockets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest

from worker.errors import SettingsError
from worker.supervision.health import Health
from worker.supervision.health_server import health_served

HOST = "127.0.0.1"
PAUSED = Health(live=True, ready=False, reason="paused")


class Worker:
    """A stand-in for a worker with a health."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.health = PAUSED


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    worker = Worker(0)
    async with health_served(HOST, 0, lambda: worker.health) as port:
        assert port is not None
        worker.port = port
        yield worker


async def asked(worker: Worker, request: bytes) -> tuple[int, bytes, bytes]:
    """Send bytes, and return the response's status, head and body."""
    reader, writer = await asyncio.open_connection(HOST, worker.port)
    writer.write(request)
    if not request.endswith(b"\r\n\r\n"):
        writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: worker\r\nUser-Agent: kube-probe/1.33\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("live", "ready", "statuses"), [(True, True, (200, 200)), (True, False, (200, 503)), (False, False, (503, 503))]
)
async def test_each_path_has_its_own_response(
    worker: Worker, *, live: bool, ready: bool, statuses: tuple[int, int]
) -> None:
    worker.health = Health(live=live, ready=ready, reason="as it is")
    answers = [await asked(worker, get(path)) for path in ("/livez", "/readyz?verbose")]
    assert tuple(status for status, _, _ in answers) == statuses
    for _, head, body in answers:
        assert json.loads(body) == {"live": live, "ready": ready, "reason": "as it is"}
        assert f"Content-Length: {len(body)}".encode() in head


async def test_a_head_request_gets_no_body(worker: Worker) -> None:
    status, head, body = await asked(worker, get("/livez", "HEAD"))
    assert (status, body) == (200, b"")
    assert b"Content-Length: 0" not in head


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get("/"), 404),
        (get("/livez/"), 404),
        (get("/livez", "POST"), 405),
        (b"livez\r\n\r\n", 400),
        (b"GET /livez HTTP/2.0\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nHost: worker", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431),
    ],
)
async def test_an_invalid_request_is_refused_and_the_next_one_is_answered(
    worker: Worker, request_bytes: bytes, status: int
) -> None:
    assert (await asked(worker, request_bytes))[0] == status
    assert (await asked(worker, get("/livez")))[0] == 200


async def test_a_silent_client_does_not_block_others(worker: Worker) -> None:
    _, silent = await asyncio.open_connection(HOST, worker.port)
    assert (await asked(worker, get("/livez")))[0] == 200
    silent.close()
    await silent.wait_closed()


async def test_a_port_in_use_is_reported_in_a_sentence() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        said = rf"^WORKER_HEALTH_PORT: port {port} of 127.0.0.1 cannot be listened on, since another program does, .*;"
        with pytest.raises(SettingsError, match=said):
            async with health_served(HOST, port, lambda: PAUSED):
                pass


async def test_without_a_port_no_server_is_started() -> None:
    async with health_served(HOST, None, lambda: PAUSED) as port:
        assert port is None
