"""Backoff: how long to wait before something is tried again that somebody else did not do."""

import asyncio
import random

__all__ = ["Backoff"]


class Backoff:
    """Waits under a bound, which doubles with every wait until it is the longest.

    Args:
        first: The first bound, in seconds.
        longest: The largest, in seconds.
        jitter: The share of a bound that is left to chance, so that many who lost the same server do not come back at
            the same moment. With all of it a wait may be as short as nothing, with half of it half of the bound.

    Attributes:
        waits: How many there were since the beginning, or since it began anew.
    """

    __slots__ = ("_bound", "_first", "_jitter", "_longest", "waits")

    def __init__(self, *, first: float, longest: float, jitter: float = 1.0) -> None:
        self._first = self._bound = first
        self._longest = longest
        self._jitter = jitter
        self.waits = 0

    def next_wait(self) -> float:
        """Return how long to wait now, in seconds; the next wait may be twice as long."""
        bound, self._bound = self._bound, min(2 * self._bound, self._longest)
        self.waits += 1
        return random.uniform((1 - self._jitter) * bound, bound)  # noqa: S311  jitter, not a secret

    async def rest(self) -> None:
        """Wait."""
        await asyncio.sleep(self.next_wait())

    def reset(self) -> None:
        """Begin anew with the first bound: what was tried went well."""
        self._bound = self._first
        self.waits = 0
