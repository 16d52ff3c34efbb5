"""Turns of the loop: whether anything can have left, or arrived, since a call began."""

import asyncio
from types import TracebackType
from typing import Self

__all__ = ["Turn"]


class Turn:
    """Tells whether the loop has turned while a context was entered.

    The driver looks at a connection's state before it writes a statement to it. An error that comes in the turn of the
    call is of that look: nothing was sent. Later ones leave open what the server did.
    """

    __slots__ = ("_mark", "over")

    def __init__(self) -> None:
        self.over = False

    def __enter__(self) -> Self:
        self._mark = asyncio.get_running_loop().call_soon(self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._mark.cancel()

    def _end(self) -> None:
        self.over = True
