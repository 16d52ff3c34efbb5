"""Signals: the first one tells a program to stop, the second one to stop at once."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["stop_signals"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_signals() -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """Yield two events: the first SIGTERM or SIGINT sets the first event, the second signal the second."""
    loop = asyncio.get_running_loop()
    stop, hurry = asyncio.Event(), asyncio.Event()
    # A program that stops for another reason may still get its first signal, which must not count as the second.
    events = iter((stop,))

    def on_signal() -> None:
        next(events, hurry).set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop, hurry
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
