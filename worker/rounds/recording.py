"""The recording: whether a round is being recorded, so that reads keep step with the rounds."""

import asyncio
from collections.abc import Sized

__all__ = ["Recording"]


class Recording:
    """Delays reads and look-ups until enough of them can share a statement; one each would cost as much as a round.

    A command that comes while a round is being recorded can only be in the next one. A few of them are not worth a
    statement before the next round is sent.
    """

    __slots__ = ("_begun", "_changed", "_members")

    def __init__(self) -> None:
        self._begun = 0
        self._members = 0
        self._changed = asyncio.Event()

    @property
    def begun(self) -> int:
        """How many rounds have been sent so far."""
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
        """Note that the round is answered."""
        self._members = 0
        self._tell()

    def more(self, waiting: Sized) -> None:
        """Note that one more request waits."""
        if 0 <= 2 * len(waiting) - self._members <= 1:
            self._tell()

    async def step(self, waiting: Sized, since: int) -> None:
        """Wait until half as many wait as the current round has members, or it is answered, or the next was sent.

        Args:
            waiting: The requests that wait.
            since: How many rounds had been sent when the first of them came.
        """
        while 2 * len(waiting) < self._members and self._begun <= since:
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
