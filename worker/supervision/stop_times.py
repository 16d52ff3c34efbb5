"""The stop times: when a worker that was told to stop must have drained, and when it must have ended.

Each part of a stop waits until one of these two moments, and has no timeout of its own: those would add up.
"""

import asyncio

__all__ = ["END_SECONDS", "StopTimes"]

END_SECONDS = 15.0
"""How long after its drain a worker ends at the latest, whatever does not respond, in seconds.

Its shares: unfinished commands are accounted for and acknowledged (4 s), telemetry is exported (5 s), connections are
closed (5 s).
"""


class StopTimes:
    """The deadlines of a stop, on the event loop's clock.

    Args:
        drain: How long the drain may take, in seconds.
    """

    def __init__(self, *, drain: float) -> None:
        self._drain = drain
        self._drained_by: float | None = None

    def begin(self) -> float:
        """Begin the stop, if it has not begun, and return the deadline of the drain."""
        if self._drained_by is None:
            self._drained_by = _now() + self._drain
        return self._drained_by

    def hurry(self) -> None:
        """Set the deadline of the drain to now, if it is later."""
        self._drained_by = min(self.begin(), _now())

    def left(self, most: float = END_SECONDS) -> float:
        """Return how long a part of the end may take, in seconds: ``most``, or until all must have ended if less."""
        # A worker that fails, or whose start is cancelled, has nothing to drain.
        ended_by = (_now() if self._drained_by is None else self._drained_by) + END_SECONDS
        return max(min(most, ended_by - _now()), 0.0)


def _now() -> float:
    return asyncio.get_running_loop().time()
