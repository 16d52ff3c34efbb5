"""The watchdog: detects a blocked event loop, and names the command that blocks it.

A decider that computes for long keeps everything else from running, including the connection's heartbeats: the broker
then takes the worker for dead. Nothing on the loop can detect that while it lasts, so a thread does.
"""

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Watchdog"]

_log = logging.getLogger(__name__)


class Watchdog:
    """Watches the event loop of one process.

    Args:
        seconds: How long the loop may be blocked before a warning is logged.
        effect: What the warning names as the consequence.

    Attributes:
        command: Name of the command whose code runs now; None if none does.
    """

    def __init__(self, seconds: float = 5.0, *, effect: str = "the broker hears no heartbeat") -> None:
        self._seconds = seconds
        self._effect = effect
        self.command: str | None = None
        self._seen = time.monotonic()
        self._over = threading.Event()

    def running(self, command: str) -> "_Running":
        """Note that a command's code runs inside the ``with``, without an ``await``."""
        return _Running(self, command)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch the loop inside the ``async with``."""
        self._seen = time.monotonic()
        ticking = asyncio.create_task(self._tick())
        thread = threading.Thread(target=self._watch, args=(threading.get_ident(),), name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ticking.cancel()
            self._over.set()
            await asyncio.gather(ticking, return_exceptions=True)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / 5)
            now = time.monotonic()
            if now - self._seen > self._seconds:
                _log.warning("the event loop runs again, after %.0f s", now - self._seen)
            self._seen = now

    def _watch(self, loop_thread: int) -> None:
        told: float | None = None
        while not self._over.wait(self._seconds / 5):
            seen = self._seen
            if time.monotonic() - seen > self._seconds and seen != told:
                told = seen
                self._tell(loop_thread)

    def _tell(self, loop_thread: int) -> None:
        command = self.command
        frame = sys._current_frames().get(loop_thread)  # noqa: SLF001  documented, and the only way to see it
        where = traceback.extract_stack(frame)[-1] if frame is not None else None
        _log.warning(
            "the event loop has been blocked for %g s%s%s: nothing else runs, and %s",
            self._seconds,
            f" by {command}" if command is not None else "",
            f" in {where.name} ({where.filename}, line {where.lineno})" if where is not None else "",
            self._effect,
        )


class _Running:
    """A ``with`` that is entered several times for a command: a generator would cost more than what it watches."""

    __slots__ = ("_command", "_watchdog")

    def __init__(self, watchdog: Watchdog, command: str) -> None:
        self._watchdog = watchdog
        self._command = command

    def __enter__(self) -> None:
        self._watchdog.command = self._command

    def __exit__(self, *_: object) -> None:
        self._watchdog.command = None
