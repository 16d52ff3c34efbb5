"""An event that cannot be dealt with: it stops who follows the log, and waits for a person."""

import traceback

from eventstore import EventStoreError, RecordedEvent
from worker.reading.followers import Failure

__all__ = ["EventFailed", "failure_of"]

_LONGEST = 4000


class EventFailed(Exception):
    """Raised when an event cannot be dealt with. What came before it has taken effect.

    Attributes:
        failure: The event, and what went wrong.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"event {failure.number} ({failure.event_type}): {failure.error}")
        self.failure = failure


def failure_of(event: RecordedEvent, error: BaseException) -> Failure:
    """Return what is written down of an event at which something was raised."""
    cause = error.__cause__ if isinstance(error, EventStoreError) and error.__cause__ is not None else error
    told = f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
    lines = "".join(traceback.format_exception(error))
    return Failure(number=event.sequence_number, event_type=event.type, error=_fit(told), trace=_fit(lines[-_LONGEST:]))


def _fit(text: str) -> str:
    """Return what a column of text can hold."""
    plain = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:_LONGEST]
    return plain.encode("utf-8", "replace").decode()
