"""The result of ``connect``: usable with ``async with`` and with ``await``."""

from collections.abc import Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Opening"]


class _Closable(Protocol):
    async def close(self) -> None: ...


T = TypeVar("T", bound=_Closable)


class Opening(AbstractAsyncContextManager[T], Generic[T]):
    """Opens a resource once.

    ``async with`` closes the resource at the end of the block. A resource that is opened with ``await``, as in a
    notebook or at the start of a web application, is closed by its own ``close``.

    Args:
        opened: A coroutine that opens the resource and returns it. If it raises, it has left nothing open.
    """

    def __init__(self, opened: Coroutine[Any, Any, T]) -> None:
        self._opening = opened
        self._opened: T | None = None

    def __await__(self) -> Generator[Any, Any, T]:
        return self._opening.__await__()

    async def __aenter__(self) -> T:
        self._opened = await self._opening
        return self._opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._opened is not None:
            await self._opened.close()
