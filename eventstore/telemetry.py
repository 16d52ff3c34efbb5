"""Telemetry of the store: spans that follow the semantic conventions for database clients.

Source: https://opentelemetry.io/docs/specs/semconv/database/ (stable). Without a configured SDK their cost is
negligible.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Tracer
from opentelemetry.util.types import AttributeValue

from eventstore.append import Append
from eventstore.errors import EventStoreError
from eventstore.filter import Filter
from eventstore.filter_item import FilterShape
from eventstore.operations import AppendOperation, QueryOperation, mark_failed
from eventstore.schema_name import DEFAULT_SCHEMA
from eventstore.stream import Consistency, ServerAddress

__all__ = ["Telemetry", "child_span", "shared_by"]

_FILTER_TYPES = {shape: {"filter_type": shape.value} for shape in FilterShape}
# The spans of the callers that share the next query; None if a single caller makes it.
_sharers: ContextVar[Sequence[Span] | None] = ContextVar("sharers", default=None)


@contextmanager
def shared_by(spans: Sequence[Span] | None) -> Iterator[None]:
    """Trace the queries inside the ``with`` block as shared by several callers.

    Args:
        spans: The recorded spans of the callers' own queries. Each links to the shared span, which belongs to the trace
            of the first; if there are none, the shared span is not recorded. None for a query of a single caller.
    """
    token = _sharers.set(spans)
    try:
        yield
    finally:
        _sharers.reset(token)


def child_span(
    tracer: Tracer,
    name: str,
    attributes: dict[str, AttributeValue],
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    context: Context | None = None,
) -> Span:
    """Start a child span of a context, or of the current one. The caller ends it."""
    if _is_left_out(context):
        return trace.INVALID_SPAN
    return tracer.start_span(name, context=context, kind=kind, attributes=attributes)


def _is_left_out(context: Context | None) -> bool:
    """Return whether the parent span was sampled out, so that a child would be as well.

    Below an unsampled span, every standard sampler drops the children as well. Asking the sampler for each would cost
    what sampling saves.
    """
    parent = trace.get_current_span(context)
    return not parent.is_recording() and parent.get_span_context().is_valid


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Traces and measures the operations of one store.

    Attributes:
        tracer: The tracer that starts the spans.
        database: The span attributes that describe the database.
        labels: The metric labels of the store; empty for the default schema, so that adding a second store does not
            change the series of the first.
    """

    tracer: Tracer
    database: dict[str, AttributeValue]
    labels: dict[str, str] = field(default_factory=dict)

    @classmethod
    def for_database(cls, url: str, schema: str = DEFAULT_SCHEMA) -> "Telemetry":
        """Build the telemetry of the store behind a database URL, without its credentials."""
        parts = urlsplit(url)
        server = None
        if "," not in parts.netloc and parts.hostname:
            server = ServerAddress(host=parts.hostname, port=parts.port)
        return cls.for_server(parts.path.lstrip("/"), server, schema)

    @classmethod
    def for_server(cls, name: str, server: ServerAddress | None, schema: str = DEFAULT_SCHEMA) -> "Telemetry":
        """Build the telemetry of a store from its database name, server (None if unknown) and schema."""
        database: dict[str, AttributeValue] = {"db.system.name": "postgresql", "db.namespace": f"{name}|{schema}"}
        if server is not None:
            database["server.address"] = server.host
            if server.port:
                database["server.port"] = server.port
        labels = {} if schema == DEFAULT_SCHEMA else {"schema": schema}
        return cls(tracer=trace.get_tracer("eventstore"), database=database, labels=labels)

    def query(self, filters: Sequence[Filter], consistency: Consistency) -> QueryOperation:
        """Begin a query of one filter or more. The broadest filter decides the label ``filter_type``."""
        shape = FilterShape.of([item for each in filters for item in each.items])
        labels = {**_FILTER_TYPES[shape], **self.labels} if self.labels else _FILTER_TYPES[shape]
        return QueryOperation(self._query_span(shape, len(filters), consistency), labels)

    def _query_span(self, shape: FilterShape, filters: int, consistency: Consistency) -> Span:
        sharers = _sharers.get()
        if not sharers if sharers is not None else _is_left_out(None):
            return trace.INVALID_SPAN
        attributes: dict[str, AttributeValue] = {
            **self.database,
            "db.operation.name": "query",
            "db.collection.name": "events",
            "eventstore.filter_type": shape.value,
            "eventstore.filters": filters,
            "eventstore.consistency": consistency.value,
        }
        if sharers is None:
            return self.tracer.start_span("query events", kind=SpanKind.CLIENT, attributes=attributes)
        span = self.tracer.start_span(
            "query batch",
            context=trace.set_span_in_context(sharers[0], Context()),
            kind=SpanKind.CLIENT,
            attributes={**attributes, "db.operation.batch.size": len(sharers)},
        )
        for sharer in sharers:
            sharer.add_link(span.get_span_context())
        return span

    def appends(self, appends: Sequence[Append]) -> AppendOperation:
        """Begin appends, each with a span in its own context."""
        return AppendOperation(appends, [self._append_span(append) for append in appends], self.labels)

    def _append_span(self, append: Append) -> Span:
        if _is_left_out(append.context):
            return trace.INVALID_SPAN
        return self.tracer.start_span(
            "append events",
            context=append.context,
            kind=SpanKind.CLIENT,
            attributes={
                **self.database,
                "db.operation.name": "append",
                "db.collection.name": "events",
                "db.stored_procedure.name": "append_v3",
                "eventstore.events": len(append.events),
                "eventstore.conditional": bool(append.parts),
            },
        )

    @contextmanager
    def sent(self, members: Sequence[Span], events: int) -> Iterator[None]:
        """Trace a batch of appends; see ``batch``."""
        span = self.batch(members, events)
        try:
            yield
        except EventStoreError as error:
            mark_failed(span, error)
            raise
        finally:
            span.end()

    def batch(self, members: Sequence[Span], events: int) -> Span:
        """Begin the span of a batch of appends. The caller ends it.

        It is recorded if one of its members is, in the trace of the first such member, and all recorded members link to
        it. A single append has no batch span.

        Args:
            members: The spans of the appends in the batch.
            events: The number of events in all of them together.
        """
        recorded = [member for member in members if member.is_recording()]
        if not recorded or len(members) == 1:
            return trace.INVALID_SPAN
        span = self.tracer.start_span(
            "append batch",
            context=trace.set_span_in_context(recorded[0], Context()),
            kind=SpanKind.CLIENT,
            attributes={
                **self.database,
                "db.operation.name": "append",
                "db.operation.batch.size": len(members),
                "db.collection.name": "events",
                "db.stored_procedure.name": "append_v3",
                "eventstore.events": events,
            },
        )
        for member in recorded:
            member.add_link(span.get_span_context())
        return span
