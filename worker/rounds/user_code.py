"""User code: runs a domain's code so that its command is known and that it can end nothing but its command."""

from contextvars import Token
from types import TracebackType

from opentelemetry import context as contexts
from opentelemetry.context import Context

from handlers.contained import crash_of
from worker.rounds.watchdog import Watchdog

__all__ = ["UserCode"]


class UserCode:
    """A ``with`` block around a domain's code, which runs without an ``await``.

    Raises:
        HandlerCrashed: The code raised an exception that ``crash_of`` covers. It is no cancellation: nothing was
            awaited.
    """

    __slots__ = ("_command", "_context", "_token", "_watchdog")

    def __init__(self, watchdog: Watchdog, command: str, context: Context | None = None) -> None:
        self._watchdog = watchdog
        self._command = command
        self._context = context
        self._token: Token[Context] | None = None

    def again(self) -> "UserCode":
        """Return itself: it may be entered repeatedly, but not nested."""
        return self

    def __enter__(self) -> None:
        self._watchdog.command = self._command
        # Without it the context is empty, too.
        if self._context:
            self._token = contexts.attach(self._context)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watchdog.command = None
        if self._token is not None:
            contexts.detach(self._token)
            self._token = None
        if error is not None and (crash := crash_of(error)) is not None:
            raise crash from error
