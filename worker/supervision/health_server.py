"""The health server: answers liveness and readiness probes over HTTP.

It implements only what probes need of HTTP: one GET or HEAD request a connection, without a body.
"""

import asyncio
import errno
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict

from eventstore.system_error import said_of
from worker.errors import SettingsError
from worker.supervision.health import Health
from worker.supervision.probe import LIVE_PATH, READY_PATH

__all__ = ["health_served"]

_REQUEST_SECONDS = 5.0
_REQUEST_BYTES = 8 * 1024
_REQUEST_LINE = re.compile(rb"(?P<method>[A-Z]{1,20}) (?P<path>/[!-~]*) HTTP/1\.[01]")
_PHRASES = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


@asynccontextmanager
async def health_served(host: str, port: int | None, health: Callable[[], Health]) -> AsyncIterator[int | None]:
    """Answer probes inside the ``async with``.

    ``/livez`` and ``/readyz`` answer 200 if the process is live or ready, otherwise 503, with the ``Health`` as JSON.

    Args:
        host: The address to listen on.
        port: The port; 0 for any free one, None for no server at all.
        health: Returns the health; called for each probe. It must not block.

    Yields:
        The port that is listened on; None without a server.

    Raises:
        SettingsError: The address or port cannot be listened on.
    """
    if port is None:
        yield None
        return

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The probe may be gone before it gets the answer, which does not matter.
        with suppress(OSError):
            try:
                writer.write(await _response(reader, health))
                await writer.drain()
            finally:
                writer.close()

    try:
        server = await asyncio.start_server(answer, host, port, limit=_REQUEST_BYTES)
    except OSError as error:
        where = f"WORKER_HEALTH_PORT: port {port} of {host} cannot be listened on"
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"{where}, since another program does, perhaps another worker; choose another port for this one."
            ) from error
        raise SettingsError(f"{where}: {said_of(error)}; choose another, or correct WORKER_HEALTH_HOST.") from error
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _response(reader: asyncio.StreamReader, health: Callable[[], Health]) -> bytes:
    try:
        async with asyncio.timeout(_REQUEST_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
    except TimeoutError:
        return _written(408)
    except asyncio.LimitOverrunError:
        return _written(431)
    except asyncio.IncompleteReadError:
        return _written(400)
    return _answer(head, health)


def _answer(head: bytes, health: Callable[[], Health]) -> bytes:
    request = _REQUEST_LINE.fullmatch(head.partition(b"\r\n")[0])
    if request is None:
        return _written(400)
    path = request["path"].partition(b"?")[0].decode()
    if path not in {LIVE_PATH, READY_PATH}:
        return _written(404)
    if request["method"] not in {b"GET", b"HEAD"}:
        return _written(405)
    found = health()
    good = found.live if path == LIVE_PATH else found.ready
    body = json.dumps(asdict(found), ensure_ascii=False).encode() + b"\n"
    return _written(200 if good else 503, body, with_body=request["method"] == b"GET")


def _written(status: int, body: bytes = b"", *, with_body: bool = True) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {_PHRASES[status]}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if status == 405:  # noqa: PLR2004  HTTP wants it there
        lines.append("Allow: GET, HEAD")
    return "\r\n".join([*lines, "", ""]).encode() + (body if with_body else b"")
