"""Backoff: growing random waits between retries."""

import asyncio
import random

__all__ = ["Backoff"]


class Backoff:
    """Waits for a random time under a bound, which doubles with every wait up to a maximum.

    Args:
        first: The first bound, in seconds.
        longest: The maximum bound, in seconds.
        jitter: The random share of each wait, from 0 to 1, so that clients that lost the same server do not all retry
            at once. With 1.0, the default, a wait lies between 0 and the bound; with 0.5 between half of the bound and
            the bound.

    Attributes:
        waits: The number of waits since construction or the last ``reset``.
    """

    __slots__ = ("_bound", "_first", "_jitter", "_longest", "waits")

    def __init__(self, *, first: float, longest: float, jitter: float = 1.0) -> None:
        self._first = self._bound = first
        self._longest = longest
        self._jitter = jitter
        self.waits = 0

    def next_wait(self) -> float:
        """Return the next wait in seconds, and double the bound up to its maximum."""
        bound, self._bound = self._bound, min(2 * self._bound, self._longest)
        self.waits += 1
        return random.uniform((1 - self._jitter) * bound, bound)  # noqa: S311  jitter, not a secret

    async def rest(self) -> None:
        """Sleep for ``next_wait`` seconds."""
        await asyncio.sleep(self.next_wait())

    def reset(self) -> None:
        """Begin again with the first bound, after a success."""
        self._bound = self._first
        self.waits = 0
