"""The gate: while the database does not answer, nobody asks it but a probe."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from eventstore import EventStoreError

__all__ = ["Gate"]

_log = logging.getLogger(__name__)

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 5.0


class Gate:
    """Open while the database answers. Whoever finds that it does not shuts the gate; a probe opens it again.

    Args:
        probe: Asks the database to do what commands need of it; raises an ``EventStoreError`` while it cannot.
    """

    def __init__(self, probe: Callable[[], Awaitable[object]]) -> None:
        self._probe = probe
        self._is_open = True
        self._draining = False
        # Set while nobody has to wait.
        self._free = asyncio.Event()
        self._free.set()
        self._probing: asyncio.Task[None] | None = None
        # Kept between pauses: a database that answers the probe but no command must not be asked in a tight loop.
        self._delay = _FIRST_DELAY

    @property
    def is_open(self) -> bool:
        """Whether commands may go to the database."""
        return self._is_open

    @property
    def is_draining(self) -> bool:
        """Whether nobody waits here any more."""
        return self._draining

    async def passed(self, *, within: float | None = None) -> bool:
        """Wait until the gate is open.

        Args:
            within: How long to wait, in seconds; None for as long as it takes.

        Returns:
            Whether it is. A drain ends the waiting.
        """
        if not self._free.is_set():
            try:
                async with asyncio.timeout(within):
                    await self._free.wait()
            except TimeoutError:
                return False
        return self._is_open

    def shut(self, reason: BaseException) -> None:
        """Shut the gate and begin to probe. Does nothing when it is shut already."""
        if not self._is_open:
            return
        _log.warning("paused: %s", reason)
        self._is_open = False
        if not self._draining:
            self._free.clear()
        self._probing = asyncio.create_task(self._probe_until_open(), name="gate-probe")

    def confirm(self) -> None:
        """Note that the database did what a command needed."""
        self._delay = _FIRST_DELAY

    def drain(self) -> None:
        """Let nobody wait any longer, now or later."""
        self._draining = True
        self._free.set()

    async def close(self) -> None:
        """Stop probing."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    async def _probe_until_open(self) -> None:
        while True:
            await asyncio.sleep(random.uniform(self._delay / 2, self._delay))  # noqa: S311  jitter, not a secret
            self._delay = min(2 * self._delay, _LONGEST_DELAY)
            try:
                await self._probe()
            except EventStoreError as error:
                _log.debug("still paused: %s", error)
                continue
            _log.warning("resumed")
            self._is_open = True
            self._free.set()
            return
