"""The kept cancellation: a task that is told to stop stops, whatever the broker's library makes of it."""

import asyncio
from types import TracebackType

__all__ = ["KeptCancellation"]


class KeptCancellation:
    """Raises the cancellation that came inside of a ``with`` and did not come out of it.

    A library that waits for the broker while it closes a channel takes a cancellation for the channel's end, and goes
    on: the task that was cancelled would never hear of it. So would one that gets "channel closed" in its place.

    Nothing inside may have a task group of its own: before Python 3.13, one that fails may leave its task's requests to
    cancel counted, as if somebody else had told it to stop.

    Args:
        suppressed: What is passed over in silence, where no cancellation came.

    Raises:
        asyncio.CancelledError: The task was told to stop inside, and something else was raised there, or nothing.
    """

    __slots__ = ("_requests", "_suppressed", "_task")

    def __init__(self, *suppressed: type[Exception]) -> None:
        self._suppressed = suppressed

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._requests = 0 if self._task is None else self._task.cancelling()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if self.is_cancelled and (error is None or isinstance(error, Exception)):
            raise asyncio.CancelledError from error
        return isinstance(error, self._suppressed)

    @property
    def is_cancelled(self) -> bool:
        """Whether the task was told to stop since the beginning, by other than a time limit that has ended."""
        return self._task is not None and self._task.cancelling() > self._requests
