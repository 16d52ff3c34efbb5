"""Telemetry: how traces and metrics leave the process, from the standard ``OTEL_*`` variables.

Only the SDK's public interface is used.
"""

import logging
import threading
from os import environ
from typing import Literal, TypeAlias
from uuid import uuid4

from opentelemetry import metrics, trace
from opentelemetry.environment_variables import OTEL_METRICS_EXPORTER, OTEL_TRACES_EXPORTER
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.environment_variables import OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

from worker.settings import SettingsError

__all__ = ["Telemetry"]

_log = logging.getLogger(__name__)

_Signal: TypeAlias = Literal["traces", "metrics"]

_SERVICE_NAME = "dynamic-streams-worker"
_PROTOCOLS = ("grpc", "http/protobuf")
_EXPORTERS = ("none", "otlp", "console")
_FLUSH_SECONDS = 5.0


class Telemetry:
    """The process's providers, from the environment.

    ``OTEL_TRACES_EXPORTER`` and ``OTEL_METRICS_EXPORTER`` are ``otlp``, ``console`` or ``none``; without them, ``otlp``
    when an endpoint is named and ``none`` otherwise. Sampling, resource, batch sizes, intervals and endpoints are read
    by the SDK.
    """

    def __init__(self, tracers: TracerProvider | None, meters: MeterProvider | None) -> None:
        # The tracer provider first: the spans that it drops are counted by the meter provider.
        self._providers = [provider for provider in (tracers, meters) if provider is not None]

    @classmethod
    def start(cls) -> "Telemetry":
        """Set the providers up. Call it once in a process, before the first span.

        Spans and measurements that nobody will see are not made.

        Raises:
            SettingsError: A variable names an exporter or a protocol that does not exist.
        """
        wanted_spans, wanted_metrics = (
            _choice(OTEL_TRACES_EXPORTER, "traces"),
            _choice(OTEL_METRICS_EXPORTER, "metrics"),
        )
        resource = _resource()
        meters = tracers = None
        if (measurements := _metric_exporter(*wanted_metrics)) is not None:
            meters = MeterProvider(
                [PeriodicExportingMetricReader(measurements)], resource=resource, shutdown_on_exit=False
            )
            metrics.set_meter_provider(meters)
        # The SDK counts the spans that are dropped because the queue to the collector is full, and those that could not
        # be sent, if it is told to before the exporter is made.
        environ.setdefault(OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED, "true")
        counting = meters or NoOpMeterProvider()
        if (spans := _span_exporter(*wanted_spans, counting)) is not None:
            # What it would count of each span that begins and ends, nobody needs.
            tracers = TracerProvider(resource=resource, shutdown_on_exit=False, meter_provider=NoOpMeterProvider())
            tracers.add_span_processor(BatchSpanProcessor(spans, meter_provider=counting))
            trace.set_tracer_provider(tracers)
        return cls(tracers, meters)

    def stop(self, timeout: float = _FLUSH_SECONDS) -> bool:
        """Export what is left and shut down. Does nothing the second time.

        Args:
            timeout: How long to wait, in seconds. A collector that is down does not hold the process longer, nor does
                one for traces keep the metrics from theirs.

        Returns:
            Whether everything was handed over in time. If not, the log says so.
        """
        providers, self._providers = self._providers, []
        share = timeout / max(len(providers), 1)
        in_time = [self._shut_down(provider, share) for provider in providers]
        if not all(in_time):
            _log.warning("not all traces and metrics could be handed over within %g s; the rest is dropped", timeout)
        return all(in_time)

    @staticmethod
    def _shut_down(provider: TracerProvider | MeterProvider, seconds: float) -> bool:
        # The SDK's own time limits do not cover a hanging exporter, so the wait is on a thread that may be left.
        thread = threading.Thread(target=provider.shutdown, name="telemetry-shutdown", daemon=True)
        thread.start()
        thread.join(seconds)
        return not thread.is_alive()


def _resource() -> Resource:
    # Two processes of one service are told apart: their counts must not be taken for each other's.
    resource = Resource({SERVICE_INSTANCE_ID: str(uuid4())}).merge(Resource.create())
    if str(resource.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: _SERVICE_NAME}))
    return resource


def _span_exporter(choice: str, protocol: str, counting: metrics.MeterProvider) -> SpanExporter | None:
    if choice == "none":
        return None
    if choice == "console":
        return ConsoleSpanExporter()
    # Either exporter takes long to import, and most commands need neither.
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc  # noqa: PLC0415

        return Grpc(meter_provider=counting)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http  # noqa: PLC0415

    return Http(meter_provider=counting)


def _metric_exporter(choice: str, protocol: str) -> MetricExporter | None:
    if choice == "none":
        return None
    if choice == "console":
        return ConsoleMetricExporter()
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc  # noqa: PLC0415

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as Http  # noqa: PLC0415

    return Http()


def _choice(variable: str, signal: _Signal) -> tuple[str, str]:
    """Say which exporter is wanted for a signal, and by which protocol it speaks."""
    prefix = f"OTEL_EXPORTER_OTLP_{signal.upper()}"
    named = environ.get(f"{prefix}_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    choice = environ.get(variable) or ("otlp" if named else "none")
    if choice not in _EXPORTERS:
        raise SettingsError(f"{variable} must be one of {', '.join(_EXPORTERS)}, not {choice!r}.")
    protocol = environ.get(f"{prefix}_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "grpc"
    if choice == "otlp" and protocol not in _PROTOCOLS:
        raise SettingsError(f"OTEL_EXPORTER_OTLP_PROTOCOL must be one of {', '.join(_PROTOCOLS)}, not {protocol!r}.")
    return choice, protocol
