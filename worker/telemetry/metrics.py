"""Metrics of the worker: results of deliveries, their durations, and whether work is paused.

Plain counts are read from the counters when the metrics are collected, and cost a command nothing. Names and buckets of
the messaging metrics follow the semantic conventions. Source:
https://opentelemetry.io/docs/specs/semconv/messaging/messaging-metrics/
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from worker.counters import Counters

__all__ = ["attempts", "observed", "process_duration"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_ATTEMPTS = (1, 2, 3, 4, 5, 6, 8, 10, 20)

_meter = metrics.get_meter("worker")

process_duration = _meter.create_histogram(
    "messaging.process.duration",
    unit="s",
    description="How long a delivery took, from its first byte to its settlement.",
    explicit_bucket_boundaries_advisory=_SECONDS,
)
attempts = _meter.create_histogram(
    "worker.command.attempts",
    unit="{attempt}",
    description="Attempts: how often an answered command was decided in its last delivery.",
    explicit_bucket_boundaries_advisory=_ATTEMPTS,
)


@dataclass(frozen=True, slots=True, eq=False)
class _Worker:
    counters: Counters
    paused: Callable[[], Mapping[str, bool]]
    kept_states: Callable[[], int]


_workers: set[_Worker] = set()


@contextmanager
def observed(
    counters: Counters, *, paused: Callable[[], Mapping[str, bool]], kept_states: Callable[[], int]
) -> Iterator[None]:
    """Include a worker in the metrics, inside the ``with``. A process has one worker; in tests it may have several.

    Args:
        counters: The worker's counters.
        paused: Returns whether each domain is paused because its database does not answer, by the domain's name.
        kept_states: Returns how many parts have a cached state.
    """
    worker = _Worker(counters, paused, kept_states)
    _workers.add(worker)
    try:
        yield
    finally:
        _workers.discard(worker)


def _received(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(worker.counters.received) for worker in _workers]


def _settled(_: CallbackOptions) -> Iterable[Observation]:
    return [
        Observation(count, {"end": end.value, "command": command})
        for worker in _workers
        for (end, command), count in worker.counters.settled.items()
    ]


def _in_flight(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(worker.counters.in_flight) for worker in _workers]


def _dead_letters(_: CallbackOptions) -> Iterable[Observation]:
    return [
        Observation(count, {"reason": reason})
        for worker in _workers
        for reason, count in worker.counters.dead_letters.items()
    ]


def _wasted(_: CallbackOptions) -> Iterable[Observation]:
    for worker in _workers:
        stale = worker.counters.stale_conflicts
        yield Observation(stale, {"read_from": "replica"})
        yield Observation(worker.counters.conflicts - stale, {"read_from": "primary"})


def _failed_replies(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(worker.counters.failed_replies) for worker in _workers]


def _misplaced(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(worker.counters.misplaced) for worker in _workers]


def _paused(_: CallbackOptions) -> Iterable[Observation]:
    return [
        Observation(int(is_paused), {"domain": domain})
        for worker in _workers
        for domain, is_paused in worker.paused().items()
    ]


def _kept_states(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(worker.kept_states()) for worker in _workers]


_meter.create_observable_counter(
    "worker.deliveries.received",
    [_received],
    unit="{delivery}",
    description="Deliveries that came in, redeliveries included.",
)
_meter.create_observable_counter(
    "worker.deliveries.settled",
    [_settled],
    unit="{delivery}",
    description="Settled deliveries by outcome and command. With those in flight they add up to those received.",
)
_meter.create_observable_up_down_counter(
    "worker.deliveries.in_flight",
    [_in_flight],
    unit="{delivery}",
    description="Deliveries that were received and are not settled yet.",
)
_meter.create_observable_counter(
    "worker.dead_letters",
    [_dead_letters],
    unit="{message}",
    description="Messages that were dead-lettered, by reason.",
)
_meter.create_observable_counter(
    "worker.wasted_decisions",
    [_wasted],
    unit="{decision}",
    description="Conflicts: decisions that were out of date when they were appended, by the server that their events "
    "were read from.",
)
_meter.create_observable_counter(
    "worker.replies.failed",
    [_failed_replies],
    unit="{message}",
    description="Replies that could not be sent.",
)
_meter.create_observable_counter(
    "worker.commands.misplaced",
    [_misplaced],
    unit="{command}",
    description="Commands that came with another affinity key than their domain gives them, or by another shard than "
    "others of their key.",
)
_meter.create_observable_gauge(
    "worker.paused",
    [_paused],
    # Not "1": Prometheus would take the gauge for a ratio, and name it accordingly.
    unit="{domain}",
    description="Whether a domain is paused because its database does not answer: 1 or 0 for each, in each process.",
)
_meter.create_observable_up_down_counter(
    "worker.states.kept",
    [_kept_states],
    unit="{state}",
    description="Folded states in the cache.",
)
