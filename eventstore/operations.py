"""Running queries and appends: each ends its spans and records its durations when it ends."""

from asyncio import CancelledError
from collections.abc import Sequence
from time import perf_counter
from types import TracebackType
from typing import Self

from opentelemetry.trace import Span, Status, StatusCode

from eventstore.append import Append
from eventstore.errors import ConflictError, EventStoreError
from eventstore.metrics import append_duration, conflicts, event_count, query_duration
from eventstore.receipt import Receipt
from eventstore.stream import EventStream

__all__ = ["AppendOperation", "QueryOperation", "mark_failed"]

_NO_FILTER = "none"
# From this number of events on, all counts share one label.
_MORE = 11
_EVENT_COUNTS = [{"event_count": event_count(count)} for count in range(_MORE + 1)]
# A caller's timeout arrives as a cancellation; the store's own timeout for an answer is a ``TimeoutError``.
_CANCELLED, _TIMEOUT = "cancelled", "timeout"
_BROKEN_OFF = (_CANCELLED, _TIMEOUT)


class QueryOperation:
    """A running query. Leaving its context ends its span and records its duration.

    The span is not made current, since it has no child spans.
    """

    __slots__ = ("_labels", "_span", "_started")

    def __init__(self, span: Span, labels: dict[str, str]) -> None:
        self._span = span
        self._labels = labels
        self._started = perf_counter()

    def found(self, streams: Sequence[EventStream]) -> None:
        """Record on the span what the query found, and which server answered."""
        if self._span.is_recording():
            self._span.set_attribute("eventstore.events", sum(len(stream.events) for stream in streams))
            self._span.set_attribute("eventstore.position", streams[0].position.number)
            self._span.set_attribute("eventstore.replica", streams[0].replica)
            if (server := streams[0].server) is not None:
                self._span.set_attribute("server.address", server.host)
                if server.port is not None:
                    self._span.set_attribute("server.port", server.port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, ConflictError):
            conflicts.add(1, self._labels)
        query_duration.record(perf_counter() - self._started, _end(self._span, error, self._labels))


class AppendOperation:
    """Running appends: one, or those of a chain. Leaving its context ends their spans and records their durations.

    Attributes:
        spans: The spans of the appends, in the same order.
        answers: For each append its receipt or error, in the same order; empty until the store has answered.
    """

    __slots__ = ("_appends", "_labels", "_started", "answers", "spans")

    def __init__(self, appends: Sequence[Append], spans: Sequence[Span], labels: dict[str, str]) -> None:
        self._appends = appends
        self._labels = labels
        self.spans = spans
        self.answers: Sequence[Receipt | EventStoreError] = ()
        self._started = perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        seconds = perf_counter() - self._started
        answers: Sequence[object] = self.answers or [error] * len(self._appends)
        for append, span, answer in zip(self._appends, self.spans, answers, strict=True):
            labels = _EVENT_COUNTS[min(len(append.events), _MORE)]
            if self._labels:
                labels = {**labels, **self._labels}
            if isinstance(answer, Receipt):
                if span.is_recording():
                    span.set_attribute("eventstore.position", answer.position.number)
                    span.set_attribute("eventstore.duplicate", answer.duplicate)
                    span.end()
            else:
                if isinstance(answer, ConflictError):
                    shape = append.shape
                    conflicts.add(1, {"filter_type": _NO_FILTER if shape is None else shape.value, **self._labels})
                labels = _end(span, answer, labels)
            append_duration.record(seconds, labels)


def _end(span: Span, answer: object, labels: dict[str, str]) -> dict[str, str]:
    """End an operation's span with its answer or error, and return the labels of its duration."""
    if answer is None:
        pass
    elif isinstance(answer, ConflictError):
        # A conflict is an answer, not an error.
        span.set_attribute("eventstore.conflict", type(answer).__name__)
    elif isinstance(answer, EventStoreError | CancelledError):
        mark_failed(span, answer)
        if (broken_off := _error_type(answer)) in _BROKEN_OFF:
            labels = {**labels, "error.type": broken_off}
    span.end()
    return labels


def mark_failed(span: Span, error: EventStoreError | CancelledError) -> None:
    """Mark a span as failed: its operation raised an error or was cancelled by its caller."""
    span.set_attribute("error.type", _error_type(error))
    span.set_status(Status(StatusCode.ERROR, str(error)))


def _error_type(error: EventStoreError | CancelledError) -> str:
    if isinstance(error, CancelledError):
        return _CANCELLED
    return _TIMEOUT if error.code == TimeoutError.__name__ else error.code or type(error).__name__
