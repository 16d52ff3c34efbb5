"""Exporting: traces and metrics of a command, if the environment asks for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import environ

__all__ = ["exporting"]


@contextmanager
def exporting() -> Iterator[None]:
    """Export traces and metrics inside the ``with``, according to the ``OTEL_*`` variables.

    Without such a variable nothing is exported, and OpenTelemetry's SDK is not loaded.

    Raises:
        SettingsError: A variable is wrong, or names something that does not exist.
    """
    if not any(name.startswith("OTEL_") for name in environ):
        yield
        return
    from worker.telemetry.logs import repeat_seldom  # noqa: PLC0415  see above
    from worker.telemetry.providers import Telemetry  # noqa: PLC0415  the same

    repeat_seldom()  # short commands configure no logs
    telemetry = Telemetry.start()
    try:
        yield
    finally:
        telemetry.stop()
