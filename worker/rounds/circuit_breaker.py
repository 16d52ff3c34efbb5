"""The circuit breaker: while the database does not answer, nobody asks it but a probe."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import Context

from eventstore import EventStoreError, OutcomeUnknown, StoreMisconfigured, StoreUnavailable
from eventstore.backoff import Backoff

__all__ = ["DOWN", "CircuitBreaker"]

# A store that turns out misconfigured while we run has changed under us: no command is to blame.
DOWN = (StoreUnavailable, StoreMisconfigured, OutcomeUnknown)
"""What says that the store does not serve, whoever asks."""

_log = logging.getLogger(__name__)

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 5.0
# How many commands may go to the database at first after a pause; each round that is served makes room for twice as
# many, until there is room for all.
_FIRST_WIDTH = 1
_FULL_WIDTH = 256


class CircuitBreaker:
    """Closed while the database answers. Whoever finds that it does not opens it; a probe closes it again.

    A database that has just come back is not asked by all at once: the first rounds are small.

    Args:
        probe: Asks the database to do what commands need of it; raises while it cannot, an ``EventStoreError`` as a
            rule.
        backoff: How long it rests before each probe.
        name: Whose database it is, for the log; empty where there is one only.
        is_patient: Whether commands wait for a database that does not answer. If not, they fail, and it stays closed.

    Attributes:
        is_patient: As it was given.
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
        # Kept between pauses: a database that answers the probe but no command must not be asked in a tight loop.
        self._backoff = backoff or Backoff(first=_FIRST_DELAY, longest=_LONGEST_DELAY, jitter=0.5)
        self._is_open = False
        # How often it was closed again. What began before and still hangs tells nothing of the time since.
        self._era = 0
        self._width: int | None = None
        self._closed = asyncio.Event()
        self._closed.set()
        self._probing: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_open(self) -> bool:
        """Whether the database is left alone."""
        return self._is_open

    @property
    def era(self) -> int:
        """How often it was closed again; whoever begins to ask the database notes it, for ``served`` and ``open``."""
        return self._era

    def on_closing(self, listener: Callable[[], None]) -> None:
        """Have somebody called whenever the database answers again."""
        self._listeners.append(listener)

    def room(self, most: int) -> int:
        """Return how many commands may go to the database together now, up to ``most``."""
        return most if self._width is None else min(self._width, most)

    async def closed(self) -> int:
        """Wait until the database may be asked.

        Returns:
            The era.
        """
        while self._is_open:
            await self._closed.wait()
        return self._era

    def served(self, era: int) -> None:
        """Note that the database did what was needed of it."""
        self._backoff.reset()
        if era == self._era and self._width is not None:
            self._width = 2 * self._width if self._width < _FULL_WIDTH else None

    def open(self, reason: BaseException, era: int) -> None:
        """Leave the database alone, and begin to probe. Does nothing when it is open already.

        Nor does the failure of what began in an earlier era: it tells of a time before the probe found that the
        database answers.

        Args:
            reason: What the database did.
            era: When whoever that happened to began to ask.
        """
        if self._is_open or era != self._era:
            return
        _log.warning("%spaused: %s", self._told_as, reason)
        self._is_open = True
        self._closed.clear()
        # In a context of its own: what it finds concerns the database, and no command or trace.
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
            except Exception:  # noqa: BLE001  whatever it is, nobody else would ever find that the database answers
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
