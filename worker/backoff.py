"""Backoff: how long to rest before something is tried again that another process did not do."""

import asyncio
import random

__all__ = ["Backoff"]


class Backoff:
    """Rests with full jitter: anything up to a bound, which doubles with every rest until it is the longest.

    Args:
        first: The first bound, in seconds.
        longest: The largest, in seconds.
    """

    __slots__ = ("_bound", "_first", "_longest")

    def __init__(self, *, first: float, longest: float) -> None:
        self._first = self._bound = first
        self._longest = longest

    async def rest(self) -> None:
        """Wait."""
        bound, self._bound = self._bound, min(2 * self._bound, self._longest)
        await asyncio.sleep(random.uniform(0, bound))  # noqa: S311  jitter, not a secret

    def reset(self) -> None:
        """Begin anew with the first bound: what was tried went well."""
        self._bound = self._first
