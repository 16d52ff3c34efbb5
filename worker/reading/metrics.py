"""Metrics of followers: how far behind each is, what it processes, and whether it is stopped."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

__all__ = ["Figures", "observed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of a follower that a process runs.

    Attributes:
        kind: Its kind: ``projection``, ``reaction`` or ``relay``.
        name: Its name, with its domain.
        version: Its version.
        events: How many events it has processed in this process.
        number: Sequence number up to which it has processed the log.
        head: Sequence number of the log's head when it was last read.
        behind_seconds: For how long it has been behind the head, in seconds.
        is_stopped: Whether an event, or a rewritten log, prevents it from going on.
    """

    kind: str
    name: str
    version: int
    events: int
    number: int
    head: int
    behind_seconds: float
    is_stopped: bool

    @property
    def behind(self) -> int:
        """How many events of the log it has not processed."""
        return max(self.head - self.number, 0)

    @property
    def attributes(self) -> dict[str, str | int]:
        """The labels of its metrics."""
        named: dict[str, str | int] = {self.kind: self.name}
        # Reactions and relays have one version only.
        return named | {"version": self.version} if self.kind == "projection" else named


_Asked = Callable[[], Sequence[Figures]]
_Callback = Callable[[CallbackOptions], Iterable[Observation]]
_sources: set[_Asked] = set()
_meter = metrics.get_meter("worker")


@contextmanager
def observed(figures: _Asked) -> Iterator[None]:
    """Include the figures of a process in the metrics, inside the ``with``."""
    _sources.add(figures)
    try:
        yield
    finally:
        _sources.discard(figures)


def _observing(kind: str, value: Callable[[Figures], float]) -> _Callback:
    def observations(_: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(value(each), each.attributes)
            for source in tuple(_sources)
            for each in source()
            if each.kind == kind
        ]

    return observations


def _events(kind: str) -> _Callback:
    return _observing(kind, lambda each: each.events)


def _behind(kind: str) -> _Callback:
    return _observing(kind, lambda each: each.behind)


def _behind_seconds(kind: str) -> _Callback:
    return _observing(kind, lambda each: each.behind_seconds)


def _stopped(kind: str) -> _Callback:
    return _observing(kind, lambda each: int(each.is_stopped))


_meter.create_observable_counter(
    "worker.projection.events",
    [_events("projection")],
    unit="{event}",
    description="Events that a projection has processed, in this process.",
)
_meter.create_observable_gauge(
    "worker.projection.behind.events",
    [_behind("projection")],
    unit="{event}",
    description="Lag of a projection: events of the log after its position, in the process that runs it.",
)
_meter.create_observable_gauge(
    "worker.projection.behind",
    [_behind_seconds("projection")],
    unit="s",
    description="How long a projection has lagged behind the log, in the process that runs it.",
)
_meter.create_observable_gauge(
    "worker.projection.stopped",
    [_stopped("projection")],
    # Not "1": Prometheus would take the gauge for a ratio, and name it accordingly.
    unit="{projection}",
    description="Whether a projection is stopped by an event: 1 or 0.",
)
_meter.create_observable_counter(
    "worker.reaction.events",
    [_events("reaction")],
    unit="{event}",
    description="Events that a reaction has processed, in this process; the broker has confirmed the commands made "
    "from them.",
)
_meter.create_observable_gauge(
    "worker.reaction.behind.events",
    [_behind("reaction")],
    unit="{event}",
    description="Lag of a reaction: events of the log after its position, in the process that runs it.",
)
_meter.create_observable_gauge(
    "worker.reaction.behind",
    [_behind_seconds("reaction")],
    unit="s",
    description="How long a reaction has lagged behind the log, in the process that runs it.",
)
_meter.create_observable_gauge(
    "worker.reaction.stopped",
    [_stopped("reaction")],
    unit="{reaction}",
    description="Whether a reaction is stopped, by an event or by a rewritten log: 1 or 0.",
)
_meter.create_observable_counter(
    "worker.relay.events",
    [_events("relay")],
    unit="{event}",
    description="Events that a relay published, in this process.",
)
_meter.create_observable_gauge(
    "worker.relay.behind.events",
    [_behind("relay")],
    unit="{event}",
    description="Lag of a relay: events of the log after its position, in the process that runs it.",
)
_meter.create_observable_gauge(
    "worker.relay.behind",
    [_behind_seconds("relay")],
    unit="s",
    description="How long a relay has lagged behind the log, in the process that runs it.",
)
_meter.create_observable_gauge(
    "worker.relay.stopped",
    [_stopped("relay")],
    unit="{relay}",
    description="Whether a relay is stopped, by an event or by a rewritten log: 1 or 0.",
)
