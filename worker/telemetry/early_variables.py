"""Variables that OpenTelemetry's packages read when they are imported; some raise if the value is wrong.

A program that sends no telemetry must not be stopped by them, and one that does must say in a sentence what is wrong.
So a wrong value is moved to another variable before the packages are imported. Child processes inherit that variable.
"""

import os
from collections.abc import Callable

__all__ = ["refuse_early_mistakes", "set_early_mistakes_aside"]

_ASIDE = "SET_ASIDE_"

_LIMITS = (
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
)
_BROUGHT = {
    "OTEL_PYTHON_CONTEXT": "opentelemetry_context",
    "OTEL_PYTHON_TRACER_PROVIDER": "opentelemetry_tracer_provider",
    "OTEL_PYTHON_METER_PROVIDER": "opentelemetry_meter_provider",
}
# These come with the packages, so that the installed ones need not be searched.
_KNOWN = {"tracecontext", "baggage", "none"}


def set_early_mistakes_aside() -> None:
    """Move wrong values out of the environment. Call it before anything of OpenTelemetry is imported."""
    for variable, check in _CHECKS.items():
        # A parent process may have moved it. A value that was set since takes precedence.
        aside = os.environ.pop(_ASIDE + variable, "")
        given = os.environ.get(variable, "") or aside
        if given and check(variable, given) is not None:
            os.environ[_ASIDE + variable] = given
            os.environ.pop(variable, None)


def refuse_early_mistakes() -> None:
    """Report the values that were moved.

    Raises:
        SettingsError: There are such values; a sentence for each.
    """
    from worker.errors import SettingsError  # noqa: PLC0415  it imports what reads these variables

    told = [
        complaint
        for variable, check in _CHECKS.items()
        if (given := os.environ.get(_ASIDE + variable)) and (complaint := check(variable, given)) is not None
    ]
    if told:
        raise SettingsError("\n".join(told))


def _propagators(variable: str, given: str) -> str | None:
    for name in (each.strip() for each in given.split(",")):
        if name.lower() == "none":
            return None  # as OpenTelemetry reads it, the rest does not matter
        if name not in _KNOWN and not _is_installed("opentelemetry_propagator", name):
            return f"{variable} names no propagator that is installed: {name!r}."
    return None


def _is_installed(group: str, name: str) -> bool:
    from importlib.metadata import entry_points  # noqa: PLC0415  it would slow down every short command

    return bool(entry_points(group=group, name=name))


def _limit(variable: str, given: str) -> str | None:
    try:
        if not given.strip() or int(given) >= 0:
            return None
    except ValueError:
        pass
    return f"{variable} must be a whole number, 0 or more, not {given!r}."


def _brought(variable: str, given: str) -> str | None:
    if _is_installed(_BROUGHT[variable], given):
        return None
    return f"{variable} names nothing that is installed: {given!r}."


_CHECKS: dict[str, Callable[[str, str], str | None]] = {
    "OTEL_PROPAGATORS": _propagators,
    **dict.fromkeys(_LIMITS, _limit),
    **dict.fromkeys(_BROUGHT, _brought),
}
