"""Retries of conflicts: how long a command rests that lost to others, before it is decided again."""

from tenacity import RetryCallState, Retrying, wait_random_exponential

__all__ = ["ConflictRetries"]

_FIRST_WAIT = 0.05
_LONGEST_WAIT = 0.5


class ConflictRetries:
    """Says how long a command rests. Waits have full jitter; the first is up to 50 ms.

    Args:
        longest: The longest wait, in seconds.
    """

    def __init__(self, longest: float = _LONGEST_WAIT) -> None:
        self._retrying = Retrying(wait=wait_random_exponential(multiplier=_FIRST_WAIT, max=longest))

    def wait(self, lost: int) -> float:
        """Return how long to rest, in seconds.

        Args:
            lost: How often the command has lost, 1 or more.
        """
        state = RetryCallState(self._retrying, None, (), {})
        state.attempt_number = lost
        return float(self._retrying.wait(state))
