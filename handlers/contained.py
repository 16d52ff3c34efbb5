"""Contained code: a domain's own code, run so that its errors cannot end more than the operation that ran it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from eventstore import EventStoreError, InvalidRequest
from handlers.errors import HandlerCrashed

__all__ = ["Contained", "Running", "crash_of"]

Running = Callable[[], AbstractContextManager[None]]
"""Creates the context that is entered whenever a domain's own code runs."""


class Contained:
    """A context for a domain's own code, which must run without awaiting.

    Raises:
        HandlerCrashed: The code raised an error that ``crash_of`` replaces. A cancellation is replaced as well, since
            nothing was awaited. ``KeyboardInterrupt`` is passed on.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Enter the context."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, KeyboardInterrupt) and (crash := crash_of(error)) is not None:
            raise crash from error


def crash_of(error: BaseException) -> HandlerCrashed | None:
    """Return the error to raise in place of one of a domain's code; None if it can be raised as it is.

    An error is replaced if it is no ``Exception``, such as ``SystemExit`` or a native extension's panic, or if its text
    cannot be read. So is an error of a store: no store was called, and it would pass for a conflict or a database that
    is down. ``InvalidRequest`` is not replaced: events and filters raise it on construction.
    """
    kind = type(error).__name__
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001  a class of the domain may raise anything here
        return HandlerCrashed(f"{kind}, which cannot say what it is")
    is_a_stores = isinstance(error, EventStoreError) and not isinstance(error, InvalidRequest)
    if isinstance(error, Exception) and not is_a_stores:
        return None
    return HandlerCrashed(f"{kind}: {text}" if text else kind)
