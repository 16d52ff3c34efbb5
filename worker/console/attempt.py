"""Attempts: each part of a page is asked for by itself, so that one that cannot be reached does not hide the rest."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from worker.failures import is_known, sentence

__all__ = ["Found", "Fresh", "attempt"]

T = TypeVar("T")

_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Generic[T]):
    """What came of asking.

    Attributes:
        value: The answer; None where there is none.
        trouble: Why there is none, in a sentence; None where there is one.
    """

    value: T | None = None
    trouble: str | None = None


async def attempt(asked: Awaitable[T], *, seconds: float = _SECONDS) -> Found[T]:
    """Wait for an answer, or for what a person is told in its place.

    Args:
        asked: Where it comes from.
        seconds: For how long to wait.

    Raises:
        Exception: Whatever is no failure that a person can do something about.
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


class Fresh(Generic[T]):
    """An answer that is asked for again when somebody wants it and it is too old: once for all who look.

    Args:
        ask: Where it comes from.
        seconds: How old it may be.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], *, seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._asking = asyncio.Lock()
        self._found: Found[T] | None = None
        self._asked_at = 0.0

    def forget(self) -> None:
        """Have the next one who looks ask, since something was changed."""
        self._found = None

    async def get(self) -> Found[T]:
        """Return the answer. Raises as ``attempt``."""
        async with self._asking:
            if self._found is None or time.monotonic() - self._asked_at > self._seconds:
                self._found = await attempt(self._ask())
                self._asked_at = time.monotonic()
            return self._found
