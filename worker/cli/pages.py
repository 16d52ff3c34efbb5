"""Pages that a person can open, for ``worker check``: the broker's, traces, metrics, and the console."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit, urlunsplit

from worker.cli.findings import Finding
from worker.settings import Settings

__all__ = ["CONSOLE_PORT", "console_runs", "pages"]

CONSOLE_PORT = 8200
_ANSWER_SECONDS = 1.0
_PORTS = {"http": 80, "https": 443}
# Only the console has this file. It needs no password, and is refused if the host name is not allowed.
_CONSOLE_REQUEST = b"HEAD /static/console.css HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"
_CONSOLE_SIGNS = (b"content-type: text/css", b'realm="worker console"')
_TRACE_PATH = "/trace/{trace_id}"


async def pages(settings: Settings) -> list[Finding]:
    """Return the pages that the settings name, without secrets, and the console if one runs here.

    A page that does not answer is noted, but is no error: a browser may reach it where this process does not.
    """
    named = list(_named(settings))
    *answers, console = await asyncio.gather(*(_answers(url) for _, url in named), console_runs(CONSOLE_PORT))
    found = [
        Finding(part=f"page of {name}", good=True, text=url if answer else f"{url} (does not answer from here)")
        for (name, url), answer in zip(named, answers, strict=True)
    ]
    if console:
        found.append(Finding(part="page of the console", good=True, text=f"http://127.0.0.1:{CONSOLE_PORT}/"))
    return found


def _named(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.rabbitmq_management_url:
        yield "RabbitMQ", _shown(settings.rabbitmq_management_url)
    if settings.worker_trace_url:
        # If it ends like Jaeger's address, the part before is the start page; otherwise only the host is known.
        begin, path, _ = settings.worker_trace_url.partition(_TRACE_PATH)
        yield "traces", _shown(begin if path else urljoin(begin, "/"))
    if settings.worker_metrics_url:
        yield "metrics", _shown(settings.worker_metrics_url)


def _shown(url: str) -> str:
    """Return an address without user name and password."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path or "/", "", ""))


async def _answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or _PORTS[parts.scheme])
    except (OSError, ValueError):  # an invalid port or host
        return False
    writer.close()
    return True


async def console_runs(port: int) -> bool:
    """Return whether a console listens on a port of this machine."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(_CONSOLE_REQUEST)
                answer = (await reader.read(4096)).lower()
            finally:
                writer.close()
    except OSError:
        return False
    return any(sign in answer for sign in _CONSOLE_SIGNS)
