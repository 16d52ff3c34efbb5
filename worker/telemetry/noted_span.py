"""A span as plain values: recorded while the work runs, and encoded as OTLP by the thread that exports it."""

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from time import time_ns
from types import TracebackType
from typing import Any, NamedTuple, Protocol, TypeAlias

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.util.types import Attributes, AttributeValue

__all__ = ["Limits", "Noted", "NotedEvent", "NotedLink", "NotedSpan", "noted"]

Noted: TypeAlias = dict[str, Any] | BoundedAttributes
"""Attributes: a dict of plain values, or OpenTelemetry's own type for all others and for limited numbers."""

_log = logging.getLogger(__name__)

_SAMPLED = int(TraceFlags.SAMPLED)
# Types of values that cannot be changed later, and that are encoded as they are.
_PLAIN = frozenset({str, int, bool, float, bytes})


class Limits(NamedTuple):
    """The limits of a span; very large numbers where there is no limit.

    Attributes:
        attributes: The most attributes of a span.
        length: The most characters of a span's text attributes; None for no limit.
        events: The most events of a span.
        event_attributes: The most attributes of an event.
        links: The most links of a span.
        link_attributes: The most attributes of a link.
        other_length: The most characters of text attributes of events and links; None for no limit.
    """

    attributes: int
    length: int | None
    events: int
    event_attributes: int
    links: int
    link_attributes: int
    other_length: int | None


class Scope(Protocol):
    """What the spans of one tracer share.

    Attributes:
        instrumentation: The instrumentation scope.
        limits: The limits of each span.
        room: How many attributes are kept without further checks; 0 if texts may have to be cut.
        ended: Called with each sampled span that has ended.
    """

    instrumentation: InstrumentationScope
    limits: Limits
    room: int
    ended: Callable[["NotedSpan"], None]


class NotedEvent(NamedTuple):
    """An event on a span."""

    name: str
    time: int
    attributes: Noted


class NotedLink(NamedTuple):
    """A link from a span to another."""

    context: SpanContext
    attributes: Noted


def noted(attributes: Attributes, limit: int, length: int | None) -> Noted:
    """Return a copy of attributes, within limits.

    Args:
        attributes: The attributes; they may change afterwards.
        limit: The most attributes to keep; of more, the last ones are kept.
        length: The most characters of a text; None for no limit.
    """
    if not attributes:
        return {}
    if length is None and len(attributes) <= limit and _PLAIN.issuperset(map(type, attributes.values())):
        return dict(attributes)
    return BoundedAttributes(limit, attributes, immutable=False, max_value_len=length)


class NotedSpan(Span):
    """A recording span, as in the OpenTelemetry API. Calls after its end are ignored and logged.

    Attributes:
        scope: The tracer that made it.
        name: Its name.
        kind: Its kind.
        trace_id: Id of its trace.
        span_id: Its own id.
        trace_flags: The trace flags, also of its children.
        trace_state: The trace state, also of its children.
        parent_id: Id of its parent; 0 for a root.
        parent_is_remote: Whether the parent belongs to another process.
        start_time: When it started, in nanoseconds since the epoch.
        end_time: When it ended, in nanoseconds since the epoch; None before.
        attributes: Its attributes.
        events: Its events, oldest first; None if there are none.
        dropped_events: How many events were dropped because of the limit.
        links: Its links; None if there are none.
        dropped_links: How many links were dropped because of the limit.
        status: Its status; None if none was set.
    """

    __slots__ = (
        "_context",
        "_marks_failure",
        "_records_exception",
        "attributes",
        "dropped_events",
        "dropped_links",
        "end_time",
        "events",
        "kind",
        "links",
        "name",
        "parent_id",
        "parent_is_remote",
        "scope",
        "span_id",
        "start_time",
        "status",
        "trace_flags",
        "trace_id",
        "trace_state",
    )

    def __init__(  # noqa: PLR0917  keywords would cost a tenth of a span
        self,
        scope: Scope,
        name: str,
        kind: SpanKind,
        trace_id: int,
        span_id: int,
        trace_flags: int,
        trace_state: TraceState,
        parent_id: int,
        parent_is_remote: bool,  # noqa: FBT001  likewise
        attributes: Noted,
        start_time: int,
        records_exception: bool,  # noqa: FBT001  likewise
        marks_failure: bool,  # noqa: FBT001  likewise
    ) -> None:
        self.scope = scope
        self.name = name
        self.kind = kind
        self.trace_id = trace_id
        self.span_id = span_id
        self.trace_flags = trace_flags
        self.trace_state = trace_state
        self.parent_id = parent_id
        self.parent_is_remote = parent_is_remote
        self.attributes = attributes
        self.start_time = start_time
        self.end_time: int | None = None
        self.events: list[NotedEvent] | None = None
        self.links: list[NotedLink] | None = None
        self.dropped_events = 0
        self.dropped_links = 0
        self.status: Status | None = None
        self._context: SpanContext | None = None
        self._records_exception = records_exception
        self._marks_failure = marks_failure

    def get_span_context(self) -> SpanContext:
        """Return the span context, by which other spans refer to it."""
        if self._context is None:
            self._context = SpanContext(
                self.trace_id,
                self.span_id,
                is_remote=False,
                trace_flags=TraceFlags(self.trace_flags),
                trace_state=self.trace_state,
            )
        return self._context

    def is_recording(self) -> bool:
        """Whether it has not ended."""
        return self.end_time is None

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute; one that is set again becomes the newest."""
        if self.end_time is not None:
            self._is_over("set_attribute")
            return
        attributes = self.attributes
        if type(attributes) is dict:
            if type(value) in _PLAIN and len(attributes) < self.scope.room and key and type(key) is str:
                if key in attributes:
                    del attributes[key]
                attributes[key] = value
                return
            limits = self.scope.limits
            self.attributes = attributes = BoundedAttributes(
                limits.attributes, attributes, immutable=False, max_value_len=limits.length
            )
        attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Set several attributes."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add an event. Beyond the limit, the oldest are dropped."""
        if self._is_over("add_event"):
            return
        limits = self.scope.limits
        if self.events is None:
            self.events = []
        happened = time_ns() if timestamp is None else timestamp
        event = NotedEvent(name, happened, noted(attributes, limits.event_attributes, limits.other_length))
        self.dropped_events += _append(self.events, event, limits.events)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Add a link, unless it is invalid and has no content. Beyond the limit, the oldest are dropped."""
        if self._is_over("add_link") or not (context and (context.is_valid or attributes or context.trace_state)):
            return
        limits = self.scope.limits
        if self.links is None:
            self.links = []
        link = NotedLink(context, noted(attributes, limits.link_attributes, limits.other_length))
        self.dropped_links += _append(self.links, link, limits.links)

    def add_links(self, links: Sequence[Link]) -> None:
        """Add several links."""
        for link in links:
            self.add_link(link.context, link.attributes)

    def update_name(self, name: str) -> None:
        """Change its name."""
        if not self._is_over("update_name"):
            self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status. A status of OK is final, and unset is ignored."""
        if self._is_over("set_status"):
            return
        if isinstance(status, StatusCode):
            status = Status(status, description)
        elif description is not None:
            _log.warning("the description %r is ignored, since the status brings its own", description)
        done = self.status is not None and self.status.status_code is StatusCode.OK
        if not done and status.status_code is not StatusCode.UNSET:
            self.status = status

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002  the API's signature
    ) -> None:
        """Add an exception, with its traceback, as an event."""
        if self._is_over("record_exception"):
            return
        kind = type(exception)
        in_module = kind.__module__ and kind.__module__ != "builtins"
        told: dict[str, AttributeValue] = {
            "exception.type": f"{kind.__module__}.{kind.__qualname__}" if in_module else kind.__qualname__,
            "exception.message": str(exception),
            "exception.stacktrace": "".join(traceback.format_exception(exception)),
            "exception.escaped": str(escaped),
        }
        self.add_event("exception", {**told, **(attributes or {})}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """End the span. Later calls have no effect."""
        if self.end_time is not None:
            self._is_over("end")
            return
        # Not before its start: the clock may have been set back.
        self.end_time = max(time_ns(), self.start_time) if end_time is None else end_time
        if self.trace_flags & _SAMPLED:
            self.scope.ended(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self.is_recording():
            if self._records_exception:
                self.record_exception(error, escaped=True)
            if self._marks_failure:
                self.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        self.end()

    def _is_over(self, call: str) -> bool:
        if self.end_time is None:
            return False
        _log.warning("%s was called on the span %s, which had ended", call, self.name)
        return True


def _append(kept: list[Any], new: NotedEvent | NotedLink, limit: int) -> int:
    """Append to a list with a limit, and return how many that drops."""
    kept.append(new)
    if len(kept) <= limit:
        return 0
    del kept[0]
    return 1
