"""Telemetry: sets up how traces and metrics are exported, from the standard ``OTEL_*`` variables.

Only the SDK's public interface is used.
"""

import logging
import threading
import time
from importlib.metadata import entry_points
from os import environ
from typing import Literal, TypeAlias
from uuid import uuid4

from opentelemetry import metrics
from opentelemetry.environment_variables import OTEL_METRICS_EXPORTER, OTEL_TRACES_EXPORTER
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.environment_variables import OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED, OTEL_SDK_DISABLED
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource

from worker.errors import SettingsError
from worker.telemetry.early_variables import refuse_early_mistakes
from worker.telemetry.metric_variables import check_metric_variables, check_resource_variables
from worker.telemetry.otlp_variables import OtlpOptions, OtlpProtocol
from worker.telemetry.tracing import EXPORTERS, Stoppable, check_tracing, start_tracing

__all__ = ["Telemetry"]

_log = logging.getLogger(__name__)

_Signal: TypeAlias = Literal["traces", "metrics"]
_Choice: TypeAlias = tuple[str, OtlpProtocol]

_SERVICE_NAME = "dynamic-streams-worker"
_PROTOCOLS: tuple[OtlpProtocol, ...] = ("grpc", "http/protobuf")
_EXPORTERS = ("none", "otlp", "console")
_FLUSH_SECONDS = 5.0


class Telemetry:
    """The process's providers, from the environment.

    ``OTEL_TRACES_EXPORTER`` and ``OTEL_METRICS_EXPORTER`` are ``otlp``, ``console`` or ``none``; if not set, ``otlp``
    if an endpoint is set and ``none`` otherwise. For spans, the exporter of an installed package can be named as well.
    With ``OTEL_SDK_DISABLED`` there are no providers.
    """

    def __init__(self, tracers: Stoppable | None, meters: MeterProvider | None) -> None:
        # The tracer provider first: the meter provider counts the spans that it drops.
        self._providers = [provider for provider in (tracers, meters) if provider is not None]

    @classmethod
    def start(cls) -> "Telemetry":
        """Set the providers up. Call it once in a process, before the first span.

        Spans and metrics that are not exported are not made.

        Raises:
            SettingsError: A variable is wrong, or names something that does not exist.
        """
        if (wanted := _wanted()) is None:
            return cls(None, None)
        (exporter, protocol), wanted_metrics = wanted
        resource = _resource()
        meters = tracers = None
        if (measurements := _metric_exporter(*wanted_metrics)) is not None:
            meters = MeterProvider(
                [PeriodicExportingMetricReader(measurements)], resource=resource, shutdown_on_exit=False
            )
        # The SDK counts spans that are dropped because the queue is full, and those that could not be sent, if this is
        # set before its exporter is made.
        environ.setdefault(OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED, "true")
        try:
            if exporter != "none":
                tracers = start_tracing(exporter, protocol, resource, meters or NoOpMeterProvider())
        except BaseException:
            if meters is not None:
                meters.shutdown()
            raise
        if meters is not None:
            metrics.set_meter_provider(meters)
        return cls(tracers, meters)

    @staticmethod
    def check() -> None:
        """Check what ``start`` reads, and start nothing.

        Raises:
            SettingsError: As in ``start``.
        """
        if (wanted := _wanted()) is None:
            return
        (exporter, protocol), wanted_metrics = wanted
        if (measurements := _metric_exporter(*wanted_metrics)) is not None:
            measurements.shutdown()
        if exporter != "none":
            check_tracing(exporter, protocol)

    def stop(self, timeout: float = _FLUSH_SECONDS) -> bool:
        """Export what is left and shut down. Later calls do nothing.

        Args:
            timeout: How long to wait, in seconds. A collector that is down does not delay the process longer. One for
                traces leaves half of the time to the metrics, which also get the time that traces did not need.

        Returns:
            Whether everything was exported in time. If not, that is logged.
        """
        providers, self._providers = self._providers, []
        end = time.monotonic() + timeout
        in_time = [
            self._shut_down(provider, max(end - time.monotonic(), 0) / (len(providers) - index))
            for index, provider in enumerate(providers)
        ]
        if not all(in_time):
            _log.warning("not all traces and metrics could be exported within %g s; the rest is dropped", timeout)
        return all(in_time)

    @staticmethod
    def _shut_down(provider: Stoppable, seconds: float) -> bool:
        # The SDK's own timeouts do not cover a hanging exporter, so this waits for a thread that can be abandoned.
        thread = threading.Thread(target=provider.shutdown, name="telemetry-shutdown", daemon=True)
        thread.start()
        thread.join(seconds)
        return not thread.is_alive()


def _wanted() -> tuple[_Choice, _Choice] | None:
    """Return the exporters for traces and for metrics, each with its protocol; None if the SDK is disabled."""
    refuse_early_mistakes()
    if environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true":
        return None
    wanted = _choice(OTEL_TRACES_EXPORTER, "traces"), _choice(OTEL_METRICS_EXPORTER, "metrics")
    check_resource_variables()
    return wanted


def _resource() -> Resource:
    # Distinguishes processes of one service: their counts must not be mixed.
    resource = Resource({SERVICE_INSTANCE_ID: str(uuid4())}).merge(Resource.create())
    if str(resource.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: _SERVICE_NAME}))
    return resource


def _metric_exporter(choice: str, protocol: OtlpProtocol) -> MetricExporter | None:
    if choice == "none":
        return None
    check_metric_variables()
    if choice == "console":
        return ConsoleMetricExporter()
    options = OtlpOptions.from_environment(protocol, "METRICS")
    try:
        # Importing either exporter takes long, and most commands need neither.
        if protocol == "grpc":
            from grpc import Compression  # noqa: PLC0415
            from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc  # noqa: PLC0415

            # Passed explicitly: it does not accept "none" from the variable.
            return Grpc(compression=Compression.Gzip if options.compression == "gzip" else Compression.NoCompression)
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as Http  # noqa: PLC0415

        return Http()
    except Exception as error:
        raise SettingsError(f"the exporter of metrics cannot be made: {error}.") from error


def _choice(variable: str, signal: _Signal) -> _Choice:
    """Return the exporter for a signal, and the protocol for OTLP."""
    prefix = f"OTEL_EXPORTER_OTLP_{signal.upper()}"
    named = environ.get(f"{prefix}_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    choice = environ.get(variable) or ("otlp" if named else "none")
    if choice not in _EXPORTERS and not (signal == "traces" and entry_points(group=EXPORTERS, name=choice)):
        raise SettingsError(f"{variable} must be one of {', '.join(_EXPORTERS)}, not {choice!r}.")
    for name in (f"{prefix}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if wanted := environ.get(name):
            protocol = next((each for each in _PROTOCOLS if each == wanted), None)
            if protocol is not None:
                return choice, protocol
            if choice == "otlp":
                raise SettingsError(f"{name} must be one of {', '.join(_PROTOCOLS)}, not {wanted!r}.")
            break
    return choice, "grpc"
