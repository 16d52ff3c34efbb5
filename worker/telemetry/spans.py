"""Spans: names and attributes of the worker's spans.

Names and attributes follow the semantic conventions for messaging. Source:
https://opentelemetry.io/docs/specs/semconv/messaging/rabbitmq/
"""

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, ProxyTracer, ProxyTracerProvider, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from worker.message import CommandMessage, id_text
from worker.telemetry.current_span import CurrentSpan
from worker.telemetry.trace_context import extracted, injected
from worker.topology import Topology

__all__ = [
    "consumed_destination",
    "current",
    "injected",
    "is_recorded",
    "mark_failed",
    "process_span",
    "publish_attributes",
    "trace_id_of",
    "tracer",
]

tracer = trace.get_tracer("worker")
"""The worker's tracer; it uses whichever provider is set later."""

_traceparents = TraceContextTextMapPropagator()


def is_recorded() -> bool:
    """Whether the process has a tracer provider, so that spans are worth making. The check is slow."""
    return not isinstance(trace.get_tracer_provider(), ProxyTracerProvider)


def publish_attributes(
    exchange: str, routing_key: str, *, command_id: str, correlation_id: str, server: tuple[str, int]
) -> dict[str, str | int]:
    """Return the attributes of a span that publishes a command."""
    return {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": f"{exchange}:{routing_key}",
        "messaging.rabbitmq.destination.routing_key": routing_key,
        "messaging.message.id": command_id,
        "messaging.message.conversation_id": correlation_id,
        "server.address": server[0],
        "server.port": server[1],
    }


def consumed_destination(topology: Topology) -> str:
    """Return the name of the source of deliveries, as in the conventions."""
    return f"{topology.exchange}:{topology.routing_key}:{topology.queue}"


def process_span(
    message: CommandMessage,
    topology: Topology,
    *,
    server: tuple[str, int],
    delivery_tag: int,
    relation: str = "parent",
    records: bool = True,
) -> Span:
    """Start the span of a command's processing. The caller makes it current, and ends it.

    Args:
        message: The command.
        topology: The domain's queues.
        server: The broker's host and port.
        delivery_tag: The delivery's tag.
        relation: ``parent`` continues the publisher's trace; ``link`` begins a new trace that links to it.
        records: Whether spans are recorded in this process.
    """
    context = extracted(message.headers)
    above = trace.get_current_span(context)
    parent = trace.INVALID_SPAN if relation == "link" else above
    if not records or _is_left_out_below(parent):
        return parent
    links: list[Link] = []
    if relation == "link":
        context = Context()
        span_context = above.get_span_context()
        links = [Link(span_context)] if span_context.is_valid else []
    name, consumed = _consuming(topology, server)
    return tracer.start_span(
        name,
        context=context,
        kind=SpanKind.CONSUMER,
        links=links,
        attributes={
            **consumed,
            "messaging.rabbitmq.message.delivery_tag": delivery_tag,
            "messaging.message.id": id_text(message.command_id),
            "messaging.message.conversation_id": message.correlation_id,
            "command.type": message.command_type,
        },
    )


def current(span: Span) -> AbstractContextManager[Span]:
    """Make a span current, and end it with the ``with``; a span without a valid context is left alone.

    Exceptions are not recorded on it.
    """
    if not span.is_recording() and not span.get_span_context().is_valid:
        return nullcontext(span)
    return CurrentSpan(lambda: span, record_exception=False, set_status_on_exception=False)


def _is_left_out_below(parent: Span) -> bool:
    """Whether it is known, before attributes are collected, that a child of this span would not be recorded."""
    above = parent.get_span_context()
    if type(tracer) is not ProxyTracer or not above.is_valid or above.trace_flags.sampled:
        return False
    # Set by the worker's own provider. Its class is not named here: it needs the SDK, which publishers may not have.
    return bool(getattr(trace.get_tracer_provider(), "follows_parents", False))


@lru_cache(maxsize=64)
def _consuming(topology: Topology, server: tuple[str, int]) -> tuple[str, dict[str, str | int]]:
    """Return the name and the common attributes of spans that process commands."""
    destination = consumed_destination(topology)
    return f"process {destination}", {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": destination,
        "messaging.rabbitmq.destination.routing_key": topology.routing_key,
        "server.address": server[0],
        "server.port": server[1],
    }


def trace_id_of(traceparent: object) -> str | None:
    """Return the trace id in a ``traceparent``; None if it is not valid."""
    if not isinstance(traceparent, str):
        return None
    context = trace.get_current_span(_traceparents.extract({"traceparent": traceparent})).get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


def mark_failed(span: Span, error_type: str, text: str) -> None:
    """Mark a span as failed."""
    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR, text))
