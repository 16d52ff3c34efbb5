"""The tail limit: the largest distance to the head at which a query is answered by walking along the log.

A walk reads all events above the position, whatever they match; the indexes read the boundary's whole history, even if
little of it is new.
"""

from collections.abc import Iterable

from eventstore.filter import Filter
from eventstore.filter_item import FilterItem
from eventstore.postgres.drivers.protocol import Row
from eventstore.postgres.reads.rows import walk_of

__all__ = ["LONGEST_TAIL", "TailLimit"]

LONGEST_TAIL = 4096
"""The longest tail in events that is walked at all."""

# The number of events of a tail that may have a requested type. Passing over the others costs little.
_MOST_READ = 256
# The number of events that a walk may pass for each event that the indexes would return: passing one takes 3 µs,
# returning one takes 2 µs.
_PASSED_FOR_EACH = 0.7
# The number of boundaries with a long history that are remembered.
_MOST_REMEMBERED = 10_000
# The weight of earlier walks relative to the latest: the mix of commands changes slowly.
_MEMORY = 0.9


class TailLimit:
    """Learns from every walk which share of the events above a position has to be read."""

    def __init__(self) -> None:
        self._long: set[tuple[FilterItem, ...]] = set()
        # Before the first walk, every event may have to be read.
        self._passed = self._read = float(_MOST_READ)

    def of(self, boundary: Filter, known: int = 0) -> int:
        """Return the longest tail, in events, that is worth a walk for a boundary.

        Args:
            boundary: The boundary's filter.
            known: The number of its events below the tail, as far as known; by default 0. The indexes would return all
                of them.
        """
        if boundary.items in self._long:
            return LONGEST_TAIL
        usual = _MOST_READ * self._passed / max(self._read, 1.0)
        return int(min(LONGEST_TAIL, max(usual, _PASSED_FOR_EACH * known)))

    def remember_long(self, boundary: Filter) -> None:
        """Remember that a boundary has a long history, so that a walk is faster than the indexes."""
        if len(self._long) >= _MOST_REMEMBERED:
            self._long.clear()
        self._long.add(boundary.items)

    def learn(self, rows: Iterable[Row]) -> None:
        """Update the estimate from the rows of a walk."""
        passed, read = walk_of(rows)
        if passed:  # a walk of nothing must not shrink both sums to 0
            self._passed = _MEMORY * self._passed + passed
            self._read = _MEMORY * self._read + read
