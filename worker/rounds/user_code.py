"""User code: what a domain brings along, run so that it is known whose it is and can end nothing but its command."""

from contextvars import Token
from types import TracebackType

from opentelemetry import context as contexts
from opentelemetry.context import Context

from handlers.contained import crash_of
from worker.rounds.watchdog import Watchdog

__all__ = ["UserCode"]


class UserCode:
    """A ``with`` around a domain's own code, which runs without a pause.

    Raises:
        HandlerCrashed: The code raised what ``crash_of`` says. It is no cancellation, since nothing was awaited.
    """

    __slots__ = ("_command", "_context", "_token", "_watchdog")

    def __init__(self, watchdog: Watchdog, command: str, context: Context | None = None) -> None:
        self._watchdog = watchdog
        self._command = command
        self._context = context
        self._token: Token[Context] | None = None

    def again(self) -> "UserCode":
        """Return itself: it may be entered again and again, though not within itself."""
        return self

    def __enter__(self) -> None:
        self._watchdog.command = self._command
        # An empty one is what there is without it.
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
