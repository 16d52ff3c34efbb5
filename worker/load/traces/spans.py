"""Spans: figures of a run's traces, and one trace in full."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

__all__ = ["Span", "SpanEvent", "Spans"]

Value = str | bool | int | float
# Enough attempts to show what retries look like, but not so many that the tree fills the screen.
_TELLING_ATTEMPTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanEvent:
    """An event on a span."""

    name: str
    attributes: dict[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A parsed span.

    Attributes:
        span_id: Its id.
        parent_id: Id of its parent; empty for a root.
        process: The process that made it: its ``service.instance.id``, or its service's name.
        name: Its name.
        start: When it started, in seconds since the epoch.
        seconds: Its duration.
        attributes: Its attributes with scalar values.
        happenings: Its events.
    """

    span_id: bytes
    parent_id: bytes
    process: str
    name: str
    start: float
    seconds: float
    attributes: dict[str, Value]
    happenings: tuple[SpanEvent, ...]


@dataclass(slots=True)
class Spans:
    """Every span of a run.

    Attributes:
        count: The number of spans.
        replica_reads: How many queries a replica answered.
        reads: The number of queries.
    """

    count: int = 0
    replica_reads: int = 0
    reads: int = 0
    _wire: list[tuple[str, WireSpan]] = field(default_factory=list)
    _published: set[bytes] = field(default_factory=set)
    _processed: set[bytes] = field(default_factory=set)
    _attempts: Counter[bytes] = field(default_factory=Counter)

    @classmethod
    def read(cls, requests: Iterable[bytes]) -> "Spans":
        """Parse export requests.

        Args:
            requests: The requests, as kept by ``SpanReceiver``.
        """
        spans = cls()
        for request in requests:
            for resource in ExportTraceServiceRequest.FromString(request).resource_spans:
                process = _process(resource.resource.attributes)
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        spans._take(process, span)
        return spans

    @property
    def complete(self) -> int:
        """How many traces have spans of the publisher and of a worker."""
        return len(self._published & self._processed)

    def telling_trace(self) -> bytes | None:
        """Return the trace that shows most: one of a command that conflicted, if there is one."""
        if not self._attempts:
            return None
        return min(self._attempts, key=lambda trace: abs(self._attempts[trace] - _TELLING_ATTEMPTS))

    def trace(self, trace_id: bytes) -> list[Span]:
        """Return all spans of one trace, in the order in which they started."""
        found = [_span(process, span) for process, span in self._wire if span.trace_id == trace_id]
        return sorted(found, key=lambda span: span.start)

    def _take(self, process: str, span: WireSpan) -> None:
        kind = span.name.partition(" ")[0]
        self.count += 1
        self._wire.append((process, span))
        if kind == "publish":
            self._published.add(span.trace_id)
        elif kind == "process":
            self._processed.add(span.trace_id)
        elif kind == "attempt":
            self._attempts[span.trace_id] += 1
        elif kind == "query":
            self.reads += 1
            self.replica_reads += any(
                attribute.key == "eventstore.replica" and attribute.value.bool_value for attribute in span.attributes
            )


def _process(attributes: Iterable[KeyValue]) -> str:
    named = dict(_values(attributes))
    return str(named.get("service.instance.id") or named.get("service.name") or "?")


def _span(process: str, span: WireSpan) -> Span:
    return Span(
        span_id=span.span_id,
        parent_id=span.parent_span_id,
        process=process,
        name=span.name,
        start=span.start_time_unix_nano / 1e9,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        attributes=dict(_values(span.attributes)),
        happenings=tuple(
            SpanEvent(name=event.name, attributes=dict(_values(event.attributes))) for event in span.events
        ),
    )


def _values(attributes: Iterable[KeyValue]) -> Iterator[tuple[str, Value]]:
    for attribute in attributes:
        kind = attribute.value.WhichOneof("value")
        if kind in {"string_value", "bool_value", "int_value", "double_value"}:
            yield attribute.key, getattr(attribute.value, kind)
