"""The circuit breaker: while the database does not answer, only a probe sends it requests."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import Context

from eventstore import EventStoreError, OutcomeUnknown, StoreMisconfigured, StoreUnavailable
from eventstore.backoff import Backoff

__all__ = ["DOWN", "CircuitBreaker"]

# A store that becomes misconfigured while the process runs was changed from outside: no command caused it.
DOWN = (StoreUnavailable, StoreMisconfigured, OutcomeUnknown)
"""Errors that say that the store serves no caller at all, not just this one."""

_log = logging.getLogger(__name__)

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 5.0
# How many commands may go to the database at first after a pause. Each round that is served doubles it, until there is
# no limit.
_FIRST_WIDTH = 1
_FULL_WIDTH = 256


class CircuitBreaker:
    """Closed while the database answers. A failed request opens it, and a successful probe closes it again.

    After a pause the first rounds are small, so that a database that has just come back does not get all requests at
    once.

    Args:
        probe: Does in the database what commands need of it; raises while that fails, usually an ``EventStoreError``.
        backoff: The delay before each probe; by default with jitter and a fixed longest delay.
        name: Name of the database, for the log; empty where there is one only.
        is_patient: Whether commands wait for a database that does not answer. If not, they fail, and callers do not
            open it.

    Attributes:
        is_patient: Whether commands wait for a database that does not answer.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[object]],
        *,
        backoff: Backoff | None = None,
        name: str = "",
        is_patient: bool = True,
    ) -> None:
        self.is_patient = is_patient
        self._probe = probe
        self._told_as = f"{name}: " if name else ""
        # Kept between pauses: a database that answers the probe but no command must not be retried in a tight loop.
        self._backoff = backoff or Backoff(first=_FIRST_DELAY, longest=_LONGEST_DELAY, jitter=0.5)
        self._is_open = False
        # How often it was closed again. A request that began in an earlier era says nothing about the time since.
        self._era = 0
        self._width: int | None = None
        self._closed = asyncio.Event()
        self._closed.set()
        self._probing: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_open(self) -> bool:
        """Whether requests other than the probe must wait."""
        return self._is_open

    @property
    def era(self) -> int:
        """How often it was closed again. Note it when a request begins, and pass it to ``served`` or ``open``."""
        return self._era

    def on_closing(self, listener: Callable[[], None]) -> None:
        """Register a callback for each time that the database answers again."""
        self._listeners.append(listener)

    def room(self, most: int) -> int:
        """Return how many commands may go to the database together now, up to ``most``."""
        return most if self._width is None else min(self._width, most)

    async def closed(self) -> int:
        """Wait until the breaker is closed.

        Returns:
            The current era.
        """
        while self._is_open:
            await self._closed.wait()
        return self._era

    def served(self, era: int) -> None:
        """Note that a request of that era succeeded. This raises the limit of the first rounds after a pause."""
        self._backoff.reset()
        if era == self._era and self._width is not None:
            self._width = 2 * self._width if self._width < _FULL_WIDTH else None

    def open(self, reason: BaseException, era: int) -> None:
        """Open the breaker, and begin to probe. Does nothing if it is open already.

        A failure from an earlier era does not open it either: it happened before the probe found that the database
        answers.

        Args:
            reason: The failure of the request.
            era: The era in which that request began.
        """
        if self._is_open or era != self._era:
            return
        _log.warning("%spaused: %s", self._told_as, reason)
        self._is_open = True
        self._closed.clear()
        # In a context of its own: a probe belongs to no command and no trace.
        self._probing = asyncio.create_task(self._probe_until_closed(), name="database-probe", context=Context())

    async def close(self) -> None:
        """Stop probing."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    async def _probe_until_closed(self) -> None:
        while True:
            await self._backoff.rest()
            try:
                await self._probe()
            except EventStoreError as error:
                _log.debug("%sstill paused: %s", self._told_as, error)
                continue
            except Exception:  # noqa: BLE001  otherwise probing would end for good, and the breaker stay open
                _log.exception("%sstill paused: asking the database failed", self._told_as)
                continue
            _log.warning("%sresumed", self._told_as)
            self._is_open = False
            self._era += 1
            self._width = _FIRST_WIDTH
            self._closed.set()
            for listener in self._listeners:
                listener()
            return
