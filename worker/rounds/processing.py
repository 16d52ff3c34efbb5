"""The processing of a delivery: its message, its span, how long it may take, and how long it took."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec
from opentelemetry import trace
from opentelemetry.trace import Span

from worker.amqp.delivery import Delivery
from worker.counters import End
from worker.history import ATTEMPTS_HEADER, History
from worker.message import CommandMessage
from worker.telemetry.logs import concerning
from worker.telemetry.metrics import process_duration

__all__ = ["Processing"]


class Processing(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A delivery that is being processed.

    Attributes:
        delivery: The delivery.
        message: Its command; None if its properties are no valid envelope.
        span: Its ``process`` span; an invalid span if there is no command, since the trace it belongs to is then
            unknown.
        domain_name: Name of the command's domain.
        held_until: Until when the delivery may be held, on the monotonic clock, in seconds.
        labels: Labels of its duration in the metrics.
    """

    delivery: Delivery
    message: CommandMessage | None
    span: Span
    domain_name: str
    held_until: float
    labels: Mapping[str, str]

    @property
    def was_retried(self) -> bool:
        """Whether an earlier delivery of the message was sent to the retry queue."""
        headers = self.delivery.properties.headers or {}
        return ATTEMPTS_HEADER in headers and History.read(headers).attempts > 0

    @contextmanager
    def current(self) -> Iterator[None]:
        """Attribute spans and log lines inside the ``with`` to this delivery."""
        properties = self.delivery.properties
        with (
            trace.use_span(self.span, record_exception=False, set_status_on_exception=False),
            concerning(command_id=properties.message_id, command_type=properties.message_type, domain=self.domain_name),
        ):
            yield

    def acknowledge(self, end: End, error: str | None = None) -> float:
        """Acknowledge the delivery, count its duration, and end its span.

        Args:
            end: The result that is counted.
            error: Why the command has no answer; None if it has one.

        Returns:
            The duration since the delivery was received, in seconds.
        """
        self.delivery.acknowledge(end)
        seconds = self.measure(error)
        self.span.end()
        return seconds

    def measure(self, error: str | None) -> float:
        """Count the duration of the processing.

        Args:
            error: Why the command has no answer; None if it has one.

        Returns:
            The duration since the delivery was received, in seconds.
        """
        seconds = time.monotonic() - self.delivery.received_at
        labels = self.labels if error is None else {**self.labels, "error.type": error}
        process_duration.record(seconds, labels)
        return seconds
