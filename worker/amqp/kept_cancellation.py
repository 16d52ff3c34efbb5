"""The kept cancellation: a cancelled task stops, whatever the AMQP library makes of its cancellation."""

import asyncio
from types import TracebackType

__all__ = ["KeptCancellation"]


class KeptCancellation:
    """Raises a cancellation that arrived inside its ``with`` block and was swallowed there.

    When the library waits for the broker while it closes a channel, it takes a cancellation for the end of the channel
    and goes on. Or it raises "channel closed" instead. Either way the cancelled task would not stop.

    The block must not contain a task group: before Python 3.13, a failing task group may leave its own cancellation of
    the task counted, as if it had come from outside.

    Args:
        suppressed: Exceptions that are suppressed if no cancellation arrived.

    Raises:
        asyncio.CancelledError: The task was cancelled inside, and the block raised another exception, or none.
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
        """Whether the task was cancelled since the beginning, other than by a timeout that has ended."""
        return self._task is not None and self._task.cancelling() > self._requests
