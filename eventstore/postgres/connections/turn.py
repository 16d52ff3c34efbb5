"""Loop turns: whether the event loop has iterated since a call began, so that data may have been sent or received."""

import asyncio
from types import TracebackType
from typing import Self

__all__ = ["Turn"]


class Turn:
    """Records whether the event loop iterates inside a context.

    The driver checks a connection's state before it writes a statement. An error in the same loop iteration as the call
    comes from that check: nothing was sent. After a later error, it is unknown what the server did.
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
