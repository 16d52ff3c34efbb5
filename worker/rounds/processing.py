"""The processing of a delivery: its message, its span, and how long it may and does take."""

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
    """A delivery on its way to its settlement.

    Attributes:
        delivery: The delivery.
        message: Its command; None if its envelope makes no sense.
        span: What the ``process`` span says of it; whose trace an envelope belongs to that makes no sense cannot be
            told.
        domain_name: Whose command it is.
        held_until: How long the delivery may be kept, on the monotonic clock.
        labels: What its duration is counted under.
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
        """Have everything inside the ``with`` belong to it: what is traced, and the lines that are logged."""
        properties = self.delivery.properties
        with (
            trace.use_span(self.span, record_exception=False, set_status_on_exception=False),
            concerning(command_id=properties.message_id, command_type=properties.message_type, domain=self.domain_name),
        ):
            yield

    def acknowledge(self, end: End, error: str | None = None) -> float:
        """Tell the broker that the message is done, and end the span.

        Args:
            end: How it ended.
            error: Why it has no answer; None if it has.

        Returns:
            How long it took, in seconds.
        """
        self.delivery.acknowledge(end)
        seconds = self.measure(error)
        self.span.end()
        return seconds

    def measure(self, error: str | None) -> float:
        """Count how long it took.

        Args:
            error: Why it has no answer; None if it has.

        Returns:
            The same, in seconds.
        """
        seconds = time.monotonic() - self.delivery.received_at
        labels = self.labels if error is None else {**self.labels, "error.type": error}
        process_duration.record(seconds, labels)
        return seconds
