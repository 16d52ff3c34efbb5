"""Contained code: what a domain brings along, run so that it ends nothing but what asked for it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from eventstore import EventStoreError, InvalidRequest
from handlers.errors import HandlerCrashed

__all__ = ["Contained", "Running", "crash_of"]

Running = Callable[[], AbstractContextManager[None]]
"""Entered whenever a domain's own code runs."""


class Contained:
    """A ``with`` around a domain's own code, which runs without a pause.

    Raises:
        HandlerCrashed: The code raised what ``crash_of`` says. It is no cancellation, since nothing was awaited. A
            person's interrupt is let through.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, KeyboardInterrupt) and (crash := crash_of(error)) is not None:
            raise crash from error


def crash_of(error: BaseException) -> HandlerCrashed | None:
    """Return what is to be raised in place of what a domain's code raised; None if that can be raised as it is.

    It cannot if it is no exception, such as ``SystemExit`` or a native extension's panic, or cannot say what it is. Nor
    if it is a store's: no store was asked, and it would pass for a conflict, or for a database that is down. That an
    event or a filter cannot be made is no store's.
    """
    kind = type(error).__name__
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001  whatever a class of somebody's does when it is asked
        return HandlerCrashed(f"{kind}, which cannot say what it is")
    is_a_stores = isinstance(error, EventStoreError) and not isinstance(error, InvalidRequest)
    if isinstance(error, Exception) and not is_a_stores:
        return None
    return HandlerCrashed(f"{kind}: {text}" if text else kind)
