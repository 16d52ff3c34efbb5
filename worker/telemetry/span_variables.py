"""The variables for the limits of spans and of the queue, read and checked."""

import sys
from collections.abc import Mapping
from os import environ

from opentelemetry.sdk.environment_variables import (
    OTEL_BSP_EXPORT_TIMEOUT,
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
    OTEL_BSP_MAX_QUEUE_SIZE,
    OTEL_BSP_SCHEDULE_DELAY,
)
from opentelemetry.sdk.trace import SpanLimits

from worker.errors import SettingsError
from worker.telemetry.noted_span import Limits
from worker.telemetry.span_queue import QueueLimits

__all__ = ["limits_from_environment", "queue_from_environment"]

_DEFAULTS: Mapping[str, int] = {
    OTEL_BSP_MAX_QUEUE_SIZE: 2048,
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE: 512,
    OTEL_BSP_SCHEDULE_DELAY: 5000,
    OTEL_BSP_EXPORT_TIMEOUT: 30_000,
}


def limits_from_environment() -> Limits:
    """Read the limits of spans, as the SDK does.

    Raises:
        SettingsError: A limit is not a number, or is negative.
    """
    try:
        limits = SpanLimits()
    except ValueError as error:
        raise SettingsError(f"{error}.") from None
    return Limits(
        attributes=_or_all(limits.max_span_attributes),
        length=limits.max_span_attribute_length,
        events=_or_all(limits.max_events),
        event_attributes=_or_all(limits.max_event_attributes),
        links=_or_all(limits.max_links),
        link_attributes=_or_all(limits.max_link_attributes),
        other_length=limits.max_attribute_length,
    )


def queue_from_environment() -> QueueLimits:
    """Read the limits of the queue. The export timeout is ignored, as by the SDK.

    Raises:
        SettingsError: A value is not a positive number, or a batch would be larger than the queue.
    """
    given = {variable: _positive(variable, default) for variable, default in _DEFAULTS.items()}
    size, batch = given[OTEL_BSP_MAX_QUEUE_SIZE], given[OTEL_BSP_MAX_EXPORT_BATCH_SIZE]
    if batch > size:
        raise SettingsError(
            f"{OTEL_BSP_MAX_EXPORT_BATCH_SIZE} ({batch}) must not exceed {OTEL_BSP_MAX_QUEUE_SIZE} ({size})."
        )
    return QueueLimits(size=size, batch=batch, delay=given[OTEL_BSP_SCHEDULE_DELAY] / 1000)


def _positive(variable: str, default: int) -> int:
    given = environ.get(variable) or str(default)
    try:
        number = int(given)
    except ValueError:
        number = 0
    if number <= 0:
        raise SettingsError(f"{variable} must be a whole number above 0, not {given!r}.")
    return number


def _or_all(limit: int | None) -> int:
    return sys.maxsize if limit is None else limit
