"""Telemetry of the store: its spans, by the semantic conventions for database clients.

Source: https://opentelemetry.io/docs/specs/semconv/database/ (stable). Without a configured SDK they cost next to
nothing.
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
# The spans of those who share the next query; None if it is one caller's own.
_sharers: ContextVar[Sequence[Span] | None] = ContextVar("sharers", default=None)


@contextmanager
def shared_by(spans: Sequence[Span] | None) -> Iterator[None]:
    """Have the queries inside the ``with`` traced as ones that several callers share.

    Args:
        spans: The recorded spans of the callers, each its own query. They link to the shared one, which belongs to the
            trace of the first; if there are none, it is not recorded. None: the query is one caller's own.
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
    """Start a span below that of a context, or the current one. The caller ends it."""
    if _is_left_out(context):
        return trace.INVALID_SPAN
    return tracer.start_span(name, context=context, kind=kind, attributes=attributes)


def _is_left_out(context: Context | None) -> bool:
    """Tell whether there is no span to be below a context.

    Below a span that was left out by sampling, every standard sampler leaves out the children as well. Asking it for
    each would cost what sampling is there to save.
    """
    parent = trace.get_current_span(context)
    return not parent.is_recording() and parent.get_span_context().is_valid


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Traces and measures the operations of one store.

    Attributes:
        tracer: Where the spans go.
        database: What they say of the database.
        labels: What metrics say of the store: nothing where it has the usual name, so that one more beside it does not
            change its series.
    """

    tracer: Tracer
    database: dict[str, AttributeValue]
    labels: dict[str, str] = field(default_factory=dict)

    @classmethod
    def for_database(cls, url: str, schema: str = DEFAULT_SCHEMA) -> "Telemetry":
        """Describe the store behind an address, without its credentials."""
        parts = urlsplit(url)
        server = None
        if "," not in parts.netloc and parts.hostname:
            server = ServerAddress(host=parts.hostname, port=parts.port)
        return cls.for_server(parts.path.lstrip("/"), server, schema)

    @classmethod
    def for_server(cls, name: str, server: ServerAddress | None, schema: str = DEFAULT_SCHEMA) -> "Telemetry":
        """Describe a store by its database and schema, and where that is if it is known."""
        database: dict[str, AttributeValue] = {"db.system.name": "postgresql", "db.namespace": f"{name}|{schema}"}
        if server is not None:
            database["server.address"] = server.host
            if server.port:
                database["server.port"] = server.port
        labels = {} if schema == DEFAULT_SCHEMA else {"schema": schema}
        return cls(tracer=trace.get_tracer("eventstore"), database=database, labels=labels)

    def query(self, filters: Sequence[Filter], consistency: Consistency) -> QueryOperation:
        """Begin a query of one filter or more. The broadest decides what type it counts as."""
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
        """Begin appends, each in its context."""
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
        """Trace a batch that appends share; see ``batch``."""
        span = self.batch(members, events)
        try:
            yield
        except EventStoreError as error:
            mark_failed(span, error)
            raise
        finally:
            span.end()

    def batch(self, members: Sequence[Span], events: int) -> Span:
        """Begin the span of a batch that appends share. The caller ends it.

        It is recorded when one of its members is, as a part of that one's trace. All of them link to it. An append that
        is alone is its own batch.

        Args:
            members: The spans of the appends.
            events: How many events they append together.
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
