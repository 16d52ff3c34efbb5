"""Metrics of schedules: what was stored, cancelled and sent, and how late what is due is."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

__all__ = ["Figures", "observed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What is observed of a domain's schedule that a process runs.

    Attributes:
        domain: The domain's name.
        stored: How many messages it stored that are to be sent later.
        cancelled: How many it took that cancel one.
        sent: How many commands it sent.
        late: For how many seconds a command has been due that is not sent yet.
    """

    domain: str
    stored: int
    cancelled: int
    sent: int
    late: float

    @property
    def attributes(self) -> dict[str, str]:
        """What tells it from others."""
        return {"domain": self.domain}


_Asked = Callable[[], Sequence[Figures]]
_sources: set[_Asked] = set()
_meter = metrics.get_meter("worker")


@contextmanager
def observed(figures: _Asked) -> Iterator[None]:
    """Have schedules observed until the context is left."""
    _sources.add(figures)
    try:
        yield
    finally:
        _sources.discard(figures)


def _each() -> Iterator[Figures]:
    for source in tuple(_sources):
        yield from source()


def _stored(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(each.stored, each.attributes) for each in _each()]


def _cancelled(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(each.cancelled, each.attributes) for each in _each()]


def _sent(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(each.sent, each.attributes) for each in _each()]


def _late(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(each.late, each.attributes) for each in _each()]


_meter.create_observable_counter(
    "worker.schedule.stored",
    [_stored],
    unit="{message}",
    description="Messages that a schedule stored until their time, in this process.",
)
_meter.create_observable_counter(
    "worker.schedule.cancelled",
    [_cancelled],
    unit="{message}",
    description="Messages by which a scheduled command was cancelled, in this process.",
)
_meter.create_observable_counter(
    "worker.schedule.sent",
    [_sent],
    unit="{command}",
    description="Commands that a schedule sent when they were due, in this process.",
)
_meter.create_observable_gauge(
    "worker.schedule.late",
    [_late],
    unit="s",
    description="For how long a command has been due that is not sent yet, in the process that runs the schedule.",
)
