"""Spans of the store's operations, by the semantic conventions for database clients.

Source: https://opentelemetry.io/docs/specs/semconv/database/ (stable). Without a configured SDK they cost next to
nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from eventstore.errors import ConflictError, EventStoreError
from eventstore.filter import Filter
from eventstore.request import AppendRequest
from eventstore.store import Consistency, EventStream, Receipt

__all__ = ["Telemetry"]


@dataclass(frozen=True, slots=True)
class QuerySpan:
    """The span of one query."""

    span: Span

    def found(self, stream: EventStream) -> None:
        """Note what the query found, and where."""
        if self.span.is_recording():
            self.span.set_attribute("eventstore.events", len(stream.events))
            self.span.set_attribute("eventstore.position", stream.position.number)
            self.span.set_attribute("eventstore.replica", stream.replica)


@dataclass(frozen=True, slots=True)
class AppendSpan:
    """The span of one append."""

    span: Span

    def settled(self, receipt: Receipt) -> None:
        """Note what the store answered."""
        if self.span.is_recording():
            self.span.set_attribute("eventstore.position", receipt.position.number)
            self.span.set_attribute("eventstore.duplicate", receipt.duplicate)


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Makes the spans of one store.

    Attributes:
        tracer: Where they go.
        database: What they say of the database.
    """

    tracer: Tracer
    database: dict[str, AttributeValue]

    @classmethod
    def for_database(cls, url: str) -> "Telemetry":
        """Describe the database behind an address, without its credentials."""
        parts = urlsplit(url)
        database: dict[str, AttributeValue] = {
            "db.system.name": "postgresql",
            "db.namespace": f"{parts.path.lstrip('/')}|eventstore",
        }
        if "," not in parts.netloc and parts.hostname:
            database["server.address"] = parts.hostname
            if parts.port:
                database["server.port"] = parts.port
        return cls(tracer=trace.get_tracer("eventstore"), database=database)

    @contextmanager
    def query(self, boundary: Filter, consistency: Consistency) -> Iterator[QuerySpan]:
        """Trace one query."""
        attributes = {
            **self.database,
            "db.operation.name": "query",
            "db.collection.name": "events",
            "eventstore.filter_type": boundary.shape.value,
            "eventstore.consistency": consistency.value,
        }
        with self._span("query events", attributes) as span:
            yield QuerySpan(span)

    @contextmanager
    def append(self, request: AppendRequest) -> Iterator[AppendSpan]:
        """Trace one append. A conflict is an answer, not an error."""
        attributes = {
            **self.database,
            "db.operation.name": "append",
            "db.collection.name": "events",
            "db.stored_procedure.name": "append_v1",
            "eventstore.events": len(request.events),
            "eventstore.conditional": request.boundary is not None,
        }
        with self._span("append events", attributes) as span:
            yield AppendSpan(span)

    @contextmanager
    def _span(self, name: str, attributes: dict[str, AttributeValue]) -> Iterator[Span]:
        with self.tracer.start_as_current_span(
            name,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except ConflictError as conflict:
                span.set_attribute("eventstore.conflict", type(conflict).__name__)
                raise
            except EventStoreError as error:
                span.set_attribute("error.type", error.code or type(error).__name__)
                span.set_status(Status(StatusCode.ERROR, str(error)))
                raise
