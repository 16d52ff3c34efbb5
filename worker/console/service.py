"""The console's service: from its settings to its exit status."""

import asyncio
import ipaddress
import logging
import os
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress

import uvicorn

from worker.console.access import Access
from worker.console.app import application
from worker.console.console import Console
from worker.errors import SettingsError
from worker.served_domains import served_domains
from worker.settings import Settings
from worker.supervision.signals import stop_signals
from worker.telemetry.logs import configure_logs
from worker.waiting import first_of

__all__ = ["run"]

_log = logging.getLogger(__name__)

_BACKLOG = 128
_MOST_REQUESTS = 100
_KEEP_ALIVE_SECONDS = 5
_END_SECONDS = 3
_HEAD_BYTES = 32 * 1024


class _Server(uvicorn.Server):
    """The library's server without its handling of signals: it would send them to itself once more at its end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


async def run(
    settings: Settings,
    *,
    host: str,
    port: int,
    allow_actions: bool,
    names: Collection[str] = (),
    listening: Callable[[str], None] = lambda _: None,
) -> int:
    """Serve the console until SIGTERM or SIGINT.

    Args:
        settings: The worker's settings.
        host: The address to listen on.
        port: The port; 0 for any free one.
        allow_actions: Whether pages can change something.
        names: The host names of the console, besides ``localhost`` and IP addresses.
        listening: Called with its address when it answers.

    Returns:
        The exit status, 0.

    Raises:
        SettingsError: The address cannot be listened on, or is reachable from other machines and no password is set.
        DomainNotFound: A domain cannot be imported.
    """
    configure_logs(settings.worker_log_format, settings.worker_log_level)
    # The console reports its start itself.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    domains = served_domains(settings) if settings.worker_domains else ()
    console = Console.of(settings, domains, allow_actions=allow_actions)
    access = Access(names=frozenset(name.lower() for name in names), password=settings.worker_console_password)
    with _listener(host, port, password=settings.worker_console_password) as listener, stop_signals() as (stop, hurry):
        server = _Server(
            uvicorn.Config(
                application(console, access),
                log_config=None,
                access_log=False,
                lifespan="off",
                http="h11",
                ws="none",
                proxy_headers=False,
                server_header=False,
                limit_concurrency=_MOST_REQUESTS,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_END_SECONDS,
                h11_max_incomplete_event_size=_HEAD_BYTES,
            )
        )
        receiving = asyncio.create_task(console.receiver.keep_receiving())
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            listening(_address(listener))
            await first_of(stop, tasks=[serving, receiving])
            server.should_exit = True
            await first_of(hurry, tasks=[serving])
            server.force_exit = True
            await serving
            if receiving.done():
                receiving.result()
        finally:
            for task in (receiving, serving):
                task.cancel()
            await asyncio.gather(receiving, serving, return_exceptions=True)
            await asyncio.gather(console.receiver.close(), console.queues.close())
    return 0


@contextmanager
def _listener(host: str, port: int, *, password: str) -> Iterator[socket.socket]:
    """Listen inside the ``with``.

    Raises:
        SettingsError: The address cannot be listened on, or is reachable from other machines and no password is set.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        is_local = ipaddress.ip_address(address[0]).is_loopback
    except (OSError, ValueError) as error:
        raise SettingsError(f"--host {host} is no address of this machine ({error}); name one.") from None
    if not is_local and not password:
        raise SettingsError(
            f"--host {host} is open to other machines: set WORKER_CONSOLE_PASSWORD or WORKER_CONSOLE_PASSWORD_FILE, "
            "which browsers are then asked for."
        )
    try:
        listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise SettingsError(
            f"port {port} of {host} cannot be listened on ({why}); choose another with --port."
        ) from None
    try:
        if not is_local:
            _log.warning(
                "the console is open to other machines, without encryption: let them come through a proxy that speaks "
                "TLS, or through a tunnel"
            )
        yield listener
    finally:
        with suppress(OSError):
            listener.close()


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
