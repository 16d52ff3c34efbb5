"""Traces: how they are set up from the standard ``OTEL_*`` variables, and what the worker's spans are called.

Names and attributes follow the semantic conventions for messaging. Only the SDK's public interface is used.
"""

import threading
from collections.abc import Mapping
from os import environ
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from worker.message import CommandMessage
from worker.settings import SettingsError
from worker.topology import Topology

__all__ = [
    "Telemetry",
    "injected",
    "mark_failed",
    "process_span",
    "publish_attributes",
    "tracer",
]

tracer = trace.get_tracer("worker")
"""The worker's tracer; it follows whichever provider is set later."""

_SERVICE_NAME = "dynamic-streams-worker"
_PROTOCOLS = ("grpc", "http/protobuf")
_EXPORTERS = ("none", "otlp", "console")
_FLUSH_SECONDS = 5.0


class Telemetry:
    """The process's tracer provider, from the environment.

    ``OTEL_TRACES_EXPORTER`` is ``otlp``, ``console`` or ``none``; without it, ``otlp`` when an endpoint is
    named and ``none`` otherwise. Sampling, resource, batch sizes and endpoints are read by the SDK.
    """

    def __init__(self, provider: TracerProvider | None) -> None:
        self._provider = provider

    @classmethod
    def start(cls) -> "Telemetry":
        """Set the provider up. Call it once in a process, before the first span.

        Raises:
            SettingsError: A variable names an exporter or a protocol that does not exist.
        """
        exporter = _exporter()
        if exporter is None:
            return cls(None)  # spans that nobody will see are not made; the context of who asked passes through
        resource = Resource.create()
        if str(resource.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: _SERVICE_NAME}))
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        return cls(provider)

    def stop(self, timeout: float = _FLUSH_SECONDS) -> bool:
        """Export what is left and shut down.

        Args:
            timeout: How long to wait, in seconds. A collector that is down does not hold the process longer.

        Returns:
            Whether everything was handed over in time.
        """
        if self._provider is None:
            return True
        # The SDK's own time limits do not cover a hanging exporter, so the wait is on a thread that may be left.
        thread = threading.Thread(target=self._provider.shutdown, name="telemetry-shutdown", daemon=True)
        thread.start()
        thread.join(timeout)
        return not thread.is_alive()


def injected(headers: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the headers with the current trace context added."""
    carrier: dict[str, Any] = dict(headers) if headers else {}
    propagate.inject(carrier)
    return carrier


def publish_attributes(
    exchange: str, routing_key: str, *, command_id: str, correlation_id: str, server: tuple[str, int]
) -> dict[str, str | int]:
    """The attributes of a span that publishes a command."""
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


def process_span(
    message: CommandMessage,
    topology: Topology,
    *,
    server: tuple[str, int],
    delivery_tag: int,
    relation: str = "parent",
) -> Span:
    """Start the span of a command's processing. The caller makes it current, and ends it.

    Args:
        message: The command.
        topology: Where it came from.
        server: The broker's host and port.
        delivery_tag: The delivery, as the broker counts.
        relation: ``parent`` continues the publisher's trace; ``link`` begins a new one that points to it.
    """
    creation = propagate.extract({key: value for key, value in message.headers.items() if isinstance(value, str)})
    destination = f"{topology.exchange}:{topology.routing_key}:{topology.queue}"
    context: Context | None = creation
    links: list[Link] = []
    if relation == "link":
        context = Context()
        span_context = trace.get_current_span(creation).get_span_context()
        links = [Link(span_context)] if span_context.is_valid else []
    return tracer.start_span(
        f"process {destination}",
        context=context,
        kind=SpanKind.CONSUMER,
        links=links,
        attributes={
            "messaging.system": "rabbitmq",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": destination,
            "messaging.rabbitmq.destination.routing_key": topology.routing_key,
            "messaging.rabbitmq.message.delivery_tag": delivery_tag,
            "messaging.message.id": str(message.command_id),
            "messaging.message.conversation_id": message.correlation_id,
            "server.address": server[0],
            "server.port": server[1],
            "command.type": message.command_type,
        },
    )


def mark_failed(span: Span, error_type: str, text: str) -> None:
    """Say on a span that its work failed."""
    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR, text))


def _exporter() -> SpanExporter | None:
    named = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    choice = environ.get("OTEL_TRACES_EXPORTER") or ("otlp" if named else "none")
    if choice not in _EXPORTERS:
        raise SettingsError(f"OTEL_TRACES_EXPORTER must be one of {', '.join(_EXPORTERS)}, not {choice!r}.")
    if choice == "none":
        return None
    if choice == "console":
        return ConsoleSpanExporter()
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "grpc"
    if protocol not in _PROTOCOLS:
        raise SettingsError(f"OTEL_EXPORTER_OTLP_PROTOCOL must be one of {', '.join(_PROTOCOLS)}, not {protocol!r}.")
    # Either exporter takes long to import, and most commands need neither.
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc  # noqa: PLC0415

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http  # noqa: PLC0415

    return Http()
