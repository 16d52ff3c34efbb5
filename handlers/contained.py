"""Contained code: what a domain brings along, run so that it ends nothing but what asked for it."""

from types import TracebackType

from handlers.errors import HandlerCrashed

__all__ = ["Contained"]


class Contained:
    """A ``with`` around a domain's own code, which runs without a pause.

    Raises:
        HandlerCrashed: The code raised what is no exception, such as ``SystemExit`` or a native extension's panic. It
            is no cancellation, since nothing was awaited. A person's interrupt is let through.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, Exception | KeyboardInterrupt):
            raise HandlerCrashed(f"{type(error).__name__}: {error}") from error
