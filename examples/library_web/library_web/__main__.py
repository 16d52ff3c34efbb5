import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import socket

from eventstore import EventStoreError
from worker.errors import WorkerError

from .app import create_app
from .connections import opened
from .server import AddressTaken, listen, serve
from .settings import SettingMissing, Settings
from .shelves import ReadModelsAway

# What is told in one sentence. All else is a bug, and keeps its traceback.
TOLD = (SettingMissing, EventStoreError, WorkerError, ReadModelsAway, AddressTaken)


def main() -> None:
    try:
        settings = Settings.load(os.environ)
        with listen(settings.host, settings.port) as listening:
            asyncio.run(run(settings, listening, started=print))
    except TOLD as error:
        print(f"library_web: {error}", file=sys.stderr)  # noqa: T201  for a person at a terminal
        sys.exit(2)


async def run(
    settings: Settings, listening: socket, *, started: Callable[[str], object], log_level: str = "info"
) -> None:
    """Serve until SIGTERM or Ctrl-C: then streams end, requests are answered, and what was opened is closed."""
    with stopping() as stop:
        async with opened(settings) as library:
            host, port = listening.getsockname()[:2]
            started(f"http://{host}:{port}/")
            await serve(
                create_app(library, settings), listening, stop, ending=library.changes.close, log_level=log_level
            )


@contextmanager
def stopping() -> Iterator[asyncio.Event]:
    """Yield what is set at the first signal to stop."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


if __name__ == "__main__":
    main()
