"""Tracing: sets up the tracer provider, from the standard ``OTEL_*`` variables.

Spans that are exported by OTLP are recorded by a provider of the worker's own, at a fraction of the SDK's cost. If the
variables name a provider, a generator of ids, a source of credentials, or a package's exporter, the SDK's provider is
used.
"""

import logging
from importlib.metadata import entry_points
from os import environ
from typing import Protocol

from opentelemetry import trace
from opentelemetry.environment_variables import OTEL_PYTHON_ID_GENERATOR, OTEL_PYTHON_TRACER_PROVIDER
from opentelemetry.metrics import MeterProvider, NoOpMeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator

from worker.errors import SettingsError
from worker.telemetry.noted_tracer import NotedTracerProvider
from worker.telemetry.otlp_variables import OtlpOptions, OtlpProtocol
from worker.telemetry.sampler import sampler_from_environment
from worker.telemetry.span_exporter import OtlpSpanExporter, Transport
from worker.telemetry.span_queue import SpanQueue
from worker.telemetry.span_variables import limits_from_environment, queue_from_environment

__all__ = ["EXPORTERS", "Stoppable", "check_tracing", "start_tracing"]

_log = logging.getLogger(__name__)

EXPORTERS = "opentelemetry_traces_exporter"
"""The entry-point group of packages that supply span exporters."""

# The worker's own provider does not support these.
_ASKS_FOR_THE_SDK = (OTEL_PYTHON_TRACER_PROVIDER, OTEL_PYTHON_ID_GENERATOR, "OTEL_PYTHON_EXPORTER_OTLP_")


class Stoppable(Protocol):
    """A provider that may have something to send when the process ends."""

    def shutdown(self) -> None:
        """Send what is left, and stop."""


def start_tracing(
    exporter: str, protocol: OtlpProtocol, resource: Resource, counting: MeterProvider
) -> Stoppable | None:
    """Set the process's tracer provider.

    Args:
        exporter: ``otlp``, ``console``, or the name of a package's exporter.
        protocol: The protocol for OTLP.
        resource: The resource that produces the spans.
        counting: The meter provider for counts of spans.

    Returns:
        The provider to shut down at the end; None if the program has a provider of its own, which is left alone.

    Raises:
        SettingsError: A variable is wrong.
    """
    existing = trace.get_tracer_provider()
    if not environ.get(OTEL_PYTHON_TRACER_PROVIDER) and not isinstance(existing, trace.ProxyTracerProvider):
        _log.info("the program has a tracer provider of its own, which is used as it is")
        return None
    if exporter != "otlp" or _asks_for_the_sdk():
        return _sdk(existing, _sdk_exporter(exporter, protocol, counting), resource, counting)
    options = OtlpOptions.from_environment(protocol)
    sampler, limits, queue = sampler_from_environment(), limits_from_environment(), queue_from_environment()
    sender = OtlpSpanExporter(resource, _transport(protocol, options), timeout=options.timeout, meter_provider=counting)
    provider = NotedTracerProvider(SpanQueue(sender, queue, counting), sampler=sampler, limits=limits)
    trace.set_tracer_provider(provider)
    return provider


def check_tracing(exporter: str, protocol: OtlpProtocol) -> None:
    """Check what ``start_tracing`` reads, with the same arguments, and set nothing.

    Raises:
        SettingsError: A variable is wrong.
    """
    if exporter != "otlp" or _asks_for_the_sdk():
        _sdk_exporter(exporter, protocol, NoOpMeterProvider()).shutdown()
        limits_from_environment(), queue_from_environment(), sampler_from_environment()
        _id_generator()
        return
    options = OtlpOptions.from_environment(protocol)
    sampler_from_environment(), limits_from_environment(), queue_from_environment()
    _transport(protocol, options).close()


def _asks_for_the_sdk() -> bool:
    return any(name.startswith(_ASKS_FOR_THE_SDK) for name, value in environ.items() if value)


def _transport(protocol: OtlpProtocol, options: OtlpOptions) -> Transport:
    # Importing either takes long, and most commands need neither.
    try:
        if protocol == "grpc":
            from worker.telemetry.grpc_transport import GrpcTransport  # noqa: PLC0415

            return GrpcTransport(options)
        from worker.telemetry.http_transport import HttpTransport  # noqa: PLC0415

        return HttpTransport(options)
    except (ValueError, OSError) as error:
        raise SettingsError(f"spans cannot be sent to {options.endpoint}: {error}.") from error


def _sdk(
    existing: trace.TracerProvider, exporter: SpanExporter, resource: Resource, counting: MeterProvider
) -> TracerProvider | None:
    limits_from_environment()  # the SDK reads them itself, but reports wrong values with a traceback
    queue = queue_from_environment()
    processor = BatchSpanProcessor(exporter, queue.size, queue.delay * 1000, queue.batch, meter_provider=counting)
    if isinstance(existing, TracerProvider):
        existing.add_span_processor(processor)
        return existing
    if not isinstance(existing, trace.ProxyTracerProvider):
        _log.warning("%s=%s takes no span processors", OTEL_PYTHON_TRACER_PROVIDER, type(existing).__name__)
        return None
    # Its counts of each span that begins and ends are not needed.
    provider = TracerProvider(
        sampler_from_environment().sampler,
        resource,
        shutdown_on_exit=False,
        id_generator=_id_generator(),
        meter_provider=NoOpMeterProvider(),
    )
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    return provider


def _sdk_exporter(exporter: str, protocol: OtlpProtocol, counting: MeterProvider) -> SpanExporter:
    try:
        if exporter == "console":
            return ConsoleSpanExporter()
        if exporter != "otlp":
            (found,) = entry_points(group=EXPORTERS, name=exporter)
            made: SpanExporter = found.load()()
            return made
        if protocol == "grpc":
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc  # noqa: PLC0415

            return Grpc(meter_provider=counting)
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http  # noqa: PLC0415

        return Http(meter_provider=counting)
    except Exception as error:
        raise SettingsError(f"the exporter of spans {exporter!r} cannot be made: {error}.") from error


def _id_generator() -> IdGenerator:
    name = environ.get(OTEL_PYTHON_ID_GENERATOR)
    if not name:
        return RandomIdGenerator()
    for found in entry_points(group="opentelemetry_id_generator", name=name):
        generator = found.load()()
        if isinstance(generator, IdGenerator):
            return generator
    raise SettingsError(f"{OTEL_PYTHON_ID_GENERATOR} names no generator of ids that is installed: {name!r}.")
