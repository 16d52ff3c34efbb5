"""Metrics of projections: how far behind each is, what it takes in, and whether it is stopped."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

__all__ = ["Figures", "observed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What is observed of a projection that a process runs, or would run.

    Attributes:
        projection: Its name, with its domain.
        version: Which version.
        events: How many events it took in.
        behind: How many events of the log it has not looked at.
        behind_seconds: For how long it has not had all there is.
        is_stopped: Whether an event, or what it is declared as, keeps it from going on.
    """

    projection: str
    version: int
    events: int
    behind: int
    behind_seconds: float
    is_stopped: bool

    @property
    def attributes(self) -> dict[str, str | int]:
        """What tells it from others."""
        return {"projection": self.projection, "version": self.version}


_Asked = Callable[[], Sequence[Figures]]
_sources: set[_Asked] = set()
_meter = metrics.get_meter("worker")


@contextmanager
def observed(figures: _Asked) -> Iterator[None]:
    """Have projections observed until the context is left."""
    _sources.add(figures)
    try:
        yield
    finally:
        _sources.discard(figures)


def _each() -> Iterator[Figures]:
    for source in tuple(_sources):
        yield from source()


def _events(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(each.events, each.attributes) for each in _each()]


def _behind(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(each.behind, each.attributes) for each in _each()]


def _behind_seconds(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(each.behind_seconds, each.attributes) for each in _each()]


def _stopped(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(int(each.is_stopped), each.attributes) for each in _each()]


_meter.create_observable_counter(
    "worker.projection.events",
    [_events],
    unit="{event}",
    description="Events that a projection took in, in this process.",
)
_meter.create_observable_gauge(
    "worker.projection.behind.events",
    [_behind],
    unit="{event}",
    description="Events of the log that a projection has not looked at, in the process that runs it.",
)
_meter.create_observable_gauge(
    "worker.projection.behind",
    [_behind_seconds],
    unit="s",
    description="For how long a projection has not had all there is, in the process that runs it.",
)
_meter.create_observable_gauge(
    "worker.projection.stopped",
    [_stopped],
    # Not "1": Prometheus would take the gauge for a ratio, and name it so.
    unit="{projection}",
    description="Whether an event, or the way it is declared, keeps a projection from going on: 1 or 0.",
)
