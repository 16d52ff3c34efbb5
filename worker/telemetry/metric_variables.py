"""Checks of the variables for metrics. The SDK reads them itself, but does not report all wrong values."""

import math
from importlib.metadata import entry_points
from os import environ

from opentelemetry.sdk.environment_variables import (
    OTEL_EXPERIMENTAL_RESOURCE_DETECTORS,
    OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION,
    OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE,
    OTEL_METRIC_EXPORT_INTERVAL,
    OTEL_METRIC_EXPORT_TIMEOUT,
    OTEL_METRICS_EXEMPLAR_FILTER,
)

from worker.errors import SettingsError

__all__ = ["check_metric_variables", "check_resource_variables"]

_CHOICES = {
    OTEL_METRICS_EXEMPLAR_FILTER: ("always_on", "always_off", "trace_based"),
    OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: ("cumulative", "delta", "lowmemory"),
    OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION: (
        "explicit_bucket_histogram",
        "base2_exponential_bucket_histogram",
    ),
}
_MILLISECONDS = (OTEL_METRIC_EXPORT_INTERVAL, OTEL_METRIC_EXPORT_TIMEOUT)
_DETECTORS = "opentelemetry_resource_detector"


def check_metric_variables() -> None:
    """Check the variables that say how metrics are collected.

    Raises:
        SettingsError: One of them is wrong.
    """
    for variable, known in _CHOICES.items():
        given = environ.get(variable, "")
        if given and given.strip().lower() not in known:
            raise SettingsError(f"{variable} must be one of {', '.join(known)}, not {given!r}.")
    for variable in _MILLISECONDS:
        if given := environ.get(variable, ""):
            try:
                milliseconds = float(given)
            except ValueError:
                milliseconds = math.nan
            if not 0 < milliseconds < math.inf:
                raise SettingsError(f"{variable} must be a number of milliseconds above 0, not {given!r}.")


def check_resource_variables() -> None:
    """Check the variable that names resource detectors.

    Raises:
        SettingsError: It names one that is not installed.
    """
    for name in environ.get(OTEL_EXPERIMENTAL_RESOURCE_DETECTORS, "").split(","):
        wanted = name.strip()
        if wanted not in {"", "*"} and not entry_points(group=_DETECTORS, name=wanted):
            raise SettingsError(
                f"{OTEL_EXPERIMENTAL_RESOURCE_DETECTORS} names no detector that is installed: {wanted!r}."
            )
