"""The gate: while the database does not answer, nobody asks it but a probe."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextvars import Context

from eventstore import EventStoreError

__all__ = ["CircuitBreaker"]

_log = logging.getLogger(__name__)

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 5.0
# How many may be inside at first after a pause; each that is served makes room for two, until there is room for all.
_FIRST_WIDTH = 1
_FULL_WIDTH = 256


class CircuitBreaker:
    """Open while the database answers. Whoever finds that it does not shuts the gate; a probe opens it again.

    A database that has just come back is not asked by all at once: the first goes in alone, and as each is served, more
    follow.

    Args:
        probe: Asks the database to do what commands need of it; raises an ``EventStoreError`` while it cannot.
    """

    def __init__(self, probe: Callable[[], Awaitable[object]]) -> None:
        self._probe = probe
        self._is_open = True
        self._draining = False
        # How often it was opened, and how many have come in by the last opening and not left. Who came in before and
        # still hangs must not keep others out.
        self._opening = 0
        self._inside = 0
        # How many may be inside; None for any number.
        self._width: int | None = None
        # Set when there may be something new for whoever waits.
        self._news = asyncio.Event()
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

    async def passed(self, *, within: float | None = None) -> int | None:
        """Wait until the gate is open and there is room inside. Whoever has passed calls ``left`` at the end.

        Args:
            within: How long to wait, in seconds; None for as long as it takes.

        Returns:
            By which opening the caller came in, for ``left`` and ``shut``; None if it is still outside. A drain ends
            the waiting.
        """
        if self._must_wait:
            try:
                async with asyncio.timeout(within):
                    while self._must_wait:
                        await self._news.wait()
            except TimeoutError:
                return None
        if not self._is_open:
            return None
        self._inside += 1
        return self._opening

    def left(self, opening: int, *, served: bool) -> None:
        """Note that somebody who had passed is done.

        Args:
            opening: What ``passed`` returned.
            served: Whether the database did what was needed of it.
        """
        if served:
            self._delay = _FIRST_DELAY
        if opening != self._opening:
            return
        self._inside -= 1
        if self._width is not None:
            if served:
                self._width = 2 * self._width if self._width < _FULL_WIDTH else None
            self._tell()

    def shut(self, reason: BaseException, opening: int) -> None:
        """Shut the gate and begin to probe. Does nothing when it is shut already.

        Nor does the failure of somebody who came in by an earlier opening: it tells of a time before the probe found
        that the database answers. Of many that hung until then, each would pause everybody once more.

        Args:
            reason: What the database did.
            opening: What ``passed`` returned to whom that happened.
        """
        if not self._is_open or opening != self._opening:
            return
        _log.warning("paused: %s", reason)
        self._is_open = False
        # In a context of its own: what it finds concerns the database, and no command or trace.
        self._probing = asyncio.create_task(self._probe_until_open(), name="gate-probe", context=Context())

    def drain(self) -> None:
        """Let nobody wait any longer, now or later."""
        self._draining = True
        self._tell()

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
            self._opening += 1
            self._inside = 0
            self._width = _FIRST_WIDTH
            self._tell()
            return

    @property
    def _must_wait(self) -> bool:
        if self._draining:
            return False
        return not self._is_open or (self._width is not None and self._inside >= self._width)

    def _tell(self) -> None:
        """Wake whoever waits, to look again."""
        self._news.set()
        self._news = asyncio.Event()
