"""The read lanes: which parts are read by one statement, and which apart from the others."""

import asyncio
from collections.abc import Iterable, Iterator

from eventstore import Consistency
from worker.rounds.job import Job
from worker.rounds.part_entry import PartEntry

__all__ = ["ReadLane", "ReadLanes"]

# A statement that takes this much longer than usual delays all that share it. Its views are then read apart.
_SLOW_SECONDS = 0.05
_SLOW_FACTOR = 8
_WEIGHT = 0.1


class ReadLane:
    """Reads that share statements, one at a time.

    Attributes:
        consistency: Whether a replica may answer.
        view: Name of the only view that is read here; None for all views that are not read apart.
        since: How many rounds had been sent when the first waiting read was requested.
        waiting: The parts to read, each with the commands that wait for it.
        task: The task that reads them; None before the first.
    """

    __slots__ = ("consistency", "since", "task", "view", "waiting")

    def __init__(self, consistency: Consistency, view: str | None) -> None:
        self.consistency = consistency
        self.view = view
        self.since = 0
        self.waiting: dict[PartEntry, list[Job]] = {}
        self.task: asyncio.Task[None] | None = None


class ReadLanes:
    """The lanes of one domain: one for each consistency, and one for each view that turned out slow."""

    def __init__(self) -> None:
        self._strong = ReadLane(Consistency.STRONG, None)
        self._eventual = ReadLane(Consistency.EVENTUAL, None)
        self._apart: dict[tuple[Consistency, str], ReadLane] = {}
        self._slow_views: set[str] = set()
        self._typical = 0.0

    def __iter__(self) -> Iterator[ReadLane]:
        """Iterate over all lanes."""
        return iter((self._strong, self._eventual, *self._apart.values()))

    def of(self, view: str, *, is_strong: bool) -> ReadLane:
        """Return the lane in which a view's parts are read.

        Args:
            view: The view's name.
            is_strong: Whether the read must be answered by the primary.
        """
        lane = self._strong if is_strong else self._eventual
        if view not in self._slow_views:
            return lane
        apart = self._apart.get((lane.consistency, view))
        if apart is None:
            apart = self._apart[lane.consistency, view] = ReadLane(lane.consistency, view)
        return apart

    def measure(self, lane: ReadLane, entries: Iterable[PartEntry], seconds: float) -> None:
        """Note how long a statement took, and decide which views are read apart from now on.

        Args:
            lane: The lane of the statement.
            entries: The parts that it read.
            seconds: How long it took.
        """
        if seconds > max(_SLOW_SECONDS, _SLOW_FACTOR * self._typical):
            if self._typical:
                self._slow_views.update(entry.part.view.name for entry in entries)
        elif lane.view is not None:
            self._slow_views.discard(lane.view)
        # Lanes of single views are not counted: if little else was read, slow would become the usual.
        if lane.view is None:
            self._typical = seconds if not self._typical else (1 - _WEIGHT) * self._typical + _WEIGHT * seconds
