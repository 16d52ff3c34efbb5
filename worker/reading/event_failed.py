"""An event that cannot be processed: it stops its follower until a person decides."""

import traceback

from eventstore import EventStoreError, RecordedEvent
from worker.reading.followers import Failure

__all__ = ["EventFailed", "failure_of"]

_LONGEST = 4000


class EventFailed(Exception):
    """Raised when an event cannot be processed. The effects of earlier events are kept.

    Attributes:
        failure: The event, and the error.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"event {failure.number} ({failure.event_type}): {failure.error}")
        self.failure = failure


def failure_of(event: RecordedEvent, error: BaseException) -> Failure:
    """Return the record of an event and the error that its processing raised."""
    cause = error.__cause__ if isinstance(error, EventStoreError) and error.__cause__ is not None else error
    told = f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
    lines = "".join(traceback.format_exception(error))
    return Failure(
        number=event.sequence_number,
        event_type=event.type,
        error=_fit(told),
        trace=_fit(lines[-_LONGEST:]),
        token=event.token,
    )


def _fit(text: str) -> str:
    """Return a text that a database column can hold."""
    plain = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:_LONGEST]
    return plain.encode("utf-8", "replace").decode()
