"""Metrics of schedules: what was stored, cancelled and sent, and how late due commands are."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from worker.schedule.tally import Tally

__all__ = ["observed"]

_tallies: set[Tally] = set()
_meter = metrics.get_meter("worker")


@contextmanager
def observed(tallies: Iterable[Tally]) -> Iterator[None]:
    """Include schedules in the metrics, inside the ``with``."""
    those = set(tallies)
    _tallies.update(those)
    try:
        yield
    finally:
        _tallies.difference_update(those)


def _observing(value: Callable[[Tally], float]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(value(each), {"domain": each.domain}) for each in tuple(_tallies)]


_meter.create_observable_counter(
    "worker.schedule.stored",
    [_observing(lambda tally: tally.stored)],
    unit="{message}",
    description="Scheduled commands that were stored, in this process.",
)
_meter.create_observable_counter(
    "worker.schedule.cancelled",
    [_observing(lambda tally: tally.cancelled)],
    unit="{message}",
    description="Cancellations of scheduled commands that were stored, in this process.",
)
_meter.create_observable_counter(
    "worker.schedule.sent",
    [_observing(lambda tally: tally.sent)],
    unit="{command}",
    description="Scheduled commands that were sent when they were due, in this process.",
)
_meter.create_observable_gauge(
    "worker.schedule.late",
    [_observing(lambda tally: tally.late)],
    unit="s",
    description="How long the oldest unsent command has been due, in the process that runs the schedule.",
)
