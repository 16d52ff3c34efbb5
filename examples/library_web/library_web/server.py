import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp


class AddressTaken(Exception):
    pass


def listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise AddressTaken(f"nothing can listen at {host}:{port} ({error.strerror}): choose another port") from error


class Server(uvicorn.Server):
    """A server that leaves signals to the program, which has more to close than this."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    app: ASGIApp, listening: socket.socket, stop: asyncio.Event, *, ending: Callable[[], None], log_level: str = "info"
) -> None:
    """Serve until told to stop; then end the streams, without which the server would wait for every browser."""
    config = uvicorn.Config(app, lifespan="off", log_level=log_level, timeout_graceful_shutdown=10, server_header=False)
    server = Server(config)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listening]))
        await stop.wait()
        ending()
        server.should_exit = True
