"""Exporting: traces and metrics of a command, for those who ask for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import environ

__all__ = ["exporting"]


@contextmanager
def exporting() -> Iterator[None]:
    """Have traces and metrics leave the process during the ``with``, as the ``OTEL_*`` variables say.

    Without such a variable nothing leaves, and OpenTelemetry's SDK is not loaded.

    Raises:
        SettingsError: A variable is wrong, or names what does not exist.
    """
    if not any(name.startswith("OTEL_") for name in environ):
        yield
        return
    from worker.telemetry.providers import Telemetry  # noqa: PLC0415  see above

    telemetry = Telemetry.start()
    try:
        yield
    finally:
        telemetry.stop()
