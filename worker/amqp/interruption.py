"""The interruption: logs that consuming has stopped and why, and how long to wait before the next attempt."""

import logging
import time

from eventstore.backoff import Backoff
from worker.errors import BrokerError

__all__ = ["Interruption"]

_log = logging.getLogger(__name__)

# All workers lose a broker at the same time; they must not all reconnect at once. A connection that breaks repeatedly
# is opened ever more rarely: the broker counts the deliveries that each one returns.
_FIRST_REST, _LONGEST_REST = 0.5, 5.0
_STEADY_SECONDS = 30.0


class Interruption:
    """Logs each interruption once, each new reason why it lasts, and its end.

    Args:
        queue: Name of the queue, for the log.
    """

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._backoff = Backoff(first=_FIRST_REST, longest=_LONGEST_REST)
        self._is_on = False
        self._reason: str | None = None
        self._steady_since = time.monotonic()

    def begin(self) -> None:
        """Note that consuming has stopped. Repeated failures are one interruption."""
        if self._is_on:
            return
        self._is_on, self._reason = True, None
        _log.warning("consuming %s was interrupted", self._queue)
        if time.monotonic() - self._steady_since >= _STEADY_SECONDS:
            self._backoff.reset()

    async def rest(self) -> None:
        """Wait before the next attempt."""
        await self._backoff.rest()

    def tell(self, error: BrokerError) -> None:
        """Log why the interruption lasts, if that is new. Outside one nothing is logged: a failed start raises."""
        if self._is_on and self._reason != (reason := str(error)):
            self._reason = reason
            _log.error("cannot consume %s: %s", self._queue, error)

    def end(self) -> None:
        """Note that consuming goes on."""
        if self._is_on:
            self._is_on = False
            self._steady_since = time.monotonic()
            _log.warning("consuming %s again", self._queue)
