"""The recording: whether a round is under way to the store, so that reads keep step with the rounds."""

import asyncio
from collections.abc import Sized

__all__ = ["Recording"]


class Recording:
    """Tells those who gather what waits when to go on: a statement for each that comes would cost as much as a round.

    Who comes while a round is under way can only be in the next one. So few of them are not worth a statement before
    that is sent.
    """

    __slots__ = ("_begun", "_changed", "_members")

    def __init__(self) -> None:
        self._begun = 0
        self._members = 0
        self._changed = asyncio.Event()

    @property
    def begun(self) -> int:
        """How many rounds were sent until now."""
        return self._begun

    def begin(self, members: int) -> None:
        """Note that a round is sent.

        Args:
            members: How many commands it has.
        """
        self._begun += 1
        self._members = members
        self._tell()

    def end(self) -> None:
        """Note that it has its answer."""
        self._members = 0
        self._tell()

    def more(self, waiting: Sized) -> None:
        """Note that one more waits."""
        if 0 <= 2 * len(waiting) - self._members <= 1:
            self._tell()

    async def step(self, waiting: Sized, since: int) -> None:
        """Wait until as many wait as half of the round under way has, or it has its answer, or another was sent.

        Args:
            waiting: Those who wait.
            since: How many rounds had been sent when the first of them came.
        """
        while 2 * len(waiting) < self._members and self._begun <= since:
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
