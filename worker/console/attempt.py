"""Attempts: each part of a page is read separately, so that a failure of one does not hide the others."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from worker.failures import is_known, sentence

__all__ = ["CachedAnswer", "Found", "attempt"]

T = TypeVar("T")

_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Generic[T]):
    """The result of an attempt.

    Attributes:
        value: The value; None if there is none.
        trouble: Why there is none, in a sentence; None if there is one.
    """

    value: T | None = None
    trouble: str | None = None


async def attempt(asked: Awaitable[T], *, seconds: float = _SECONDS) -> Found[T]:
    """Wait for a value, or return a sentence about why there is none.

    Args:
        asked: Returns the value.
        seconds: The longest time to wait.

    Raises:
        Exception: Any error that is not a known failure with advice for a person.
    """
    try:
        async with asyncio.timeout(seconds):
            return Found(value=await asked)
    except TimeoutError:
        return Found(trouble=f"There was no answer within {seconds:g} s.")
    except Exception as error:
        if not is_known(error):
            raise
        return Found(trouble=sentence(error))


class CachedAnswer(Generic[T]):
    """A value that is read again when it is requested and too old; concurrent requests share one read.

    Args:
        ask: Reads the value.
        seconds: The age from which on it is too old.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], *, seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._asking = asyncio.Lock()
        self._found: Found[T] | None = None
        self._asked_at = 0.0

    def forget(self) -> None:
        """Have the value read again at the next request, because something was changed."""
        self._found = None

    async def get(self) -> Found[T]:
        """Return the value. Raises the errors of ``attempt``."""
        async with self._asking:
            if self._found is None or time.monotonic() - self._asked_at > self._seconds:
                self._found = await attempt(self._ask())
                self._asked_at = time.monotonic()
            return self._found
