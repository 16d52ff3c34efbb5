"""Metrics of the store's operations. Without a configured SDK their cost is negligible.

The histograms of durations have the buckets that the semantic conventions recommend for database clients. Source:
https://opentelemetry.io/docs/specs/semconv/database/database-metrics/
"""

from opentelemetry import metrics

__all__ = [
    "append_duration",
    "batch_size",
    "conflicts",
    "event_count",
    "meter",
    "query_duration",
    "queue_wait",
]

_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
_FEW_EVENTS = 10

meter = metrics.get_meter("eventstore")
"""The store's meter; it uses a meter provider that is set later."""

query_duration = meter.create_histogram(
    "eventstore.query.duration",
    unit="s",
    description="How long a query took, waiting included.",
    explicit_bucket_boundaries_advisory=_SECONDS,
)
append_duration = meter.create_histogram(
    "eventstore.append.duration",
    unit="s",
    description="How long an append took, waiting included, whatever its verdict.",
    explicit_bucket_boundaries_advisory=_SECONDS,
)
conflicts = meter.create_counter(
    "eventstore.concurrency_conflicts",
    unit="{conflict}",
    description="Appends that were refused because their boundary had changed.",
)
batch_size = meter.create_histogram(
    "eventstore.batch.size",
    unit="{request}",
    description="How many appends, or queries, shared a round trip.",
    explicit_bucket_boundaries_advisory=_SIZES,
)
queue_wait = meter.create_histogram(
    "eventstore.queue.wait",
    unit="s",
    description="How long the longest waiting member of a batch had waited when it was sent.",
    explicit_bucket_boundaries_advisory=_SECONDS,
)


def event_count(count: int) -> str:
    """Return the label for a number of events: ``0``, ``1``, ``2-10`` or ``more``."""
    if count > _FEW_EVENTS:
        return "more"
    return str(count) if count <= 1 else f"2-{_FEW_EVENTS}"
