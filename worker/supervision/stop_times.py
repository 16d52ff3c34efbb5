"""The stop times: by when a worker that was told to stop has drained, and by when it has ended.

Each part of a stop waits until one of these two moments, and none for a time of its own: such times would add up.
"""

import asyncio

__all__ = ["END_SECONDS", "StopTimes"]

END_SECONDS = 15.0
"""How long after its drain a worker ends at the latest, whatever does not answer.

Shares of it: what was not finished is accounted for and acknowledged (4 s), telemetry is handed over (5 s), connections
are closed (5 s).
"""


class StopTimes:
    """The moments of one stop, on the event loop's clock.

    Args:
        drain: How long the drain may take, in seconds.
    """

    def __init__(self, *, drain: float) -> None:
        self._drain = drain
        self._drained_by: float | None = None

    def begin(self) -> float:
        """Begin the stop, if it has not begun, and return by when the drain is over."""
        if self._drained_by is None:
            self._drained_by = _now() + self._drain
        return self._drained_by

    def hurry(self) -> None:
        """Have the drain be over now, if it is not."""
        self._drained_by = min(self.begin(), _now())

    def left(self, most: float = END_SECONDS) -> float:
        """Return for how long a part of the end may wait, in seconds: ``most``, or until all is to have ended."""
        # A worker that fails, or gives up its start, has nothing to drain.
        ended_by = (_now() if self._drained_by is None else self._drained_by) + END_SECONDS
        return max(min(most, ended_by - _now()), 0.0)


def _now() -> float:
    return asyncio.get_running_loop().time()
