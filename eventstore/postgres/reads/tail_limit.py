"""The tail limit: how far behind the head a query may be and still be answered by a walk along the log.

A walk costs what lies above the position, whoever it concerns; the indexes cost the boundary's whole history, however
little of it is new.
"""

from collections.abc import Iterable

from eventstore.filter import Filter
from eventstore.filter_item import FilterItem
from eventstore.postgres.drivers.protocol import Row
from eventstore.postgres.reads.rows import walk_of

__all__ = ["LONGEST_TAIL", "TailLimit"]

LONGEST_TAIL = 4096
"""The longest tail that is walked at all."""

# How many events of a tail may have a type that is asked for. The others are passed over, which costs little.
_MOST_READ = 256
# How many events a walk may pass for each that the indexes would bring: one passed takes 3 µs, one brought 2.
_PASSED_FOR_EACH = 0.7
# How many boundaries with a long history are remembered.
_MOST_REMEMBERED = 10_000
# How much what earlier walks found counts beside the latest: the mixture of commands changes slowly.
_MEMORY = 0.9


class TailLimit:
    """Learns from every walk how many events have to be read of so many that lie above a position."""

    def __init__(self) -> None:
        self._long: set[tuple[FilterItem, ...]] = set()
        # Until a walk has told, every event may have to be read.
        self._passed = self._read = float(_MOST_READ)

    def of(self, boundary: Filter, known: int = 0) -> int:
        """How long a boundary's tail may be.

        Args:
            boundary: Which events.
            known: How many of them lie below the tail, at least: the indexes would bring them all.
        """
        if boundary.items in self._long:
            return LONGEST_TAIL
        usual = _MOST_READ * self._passed / max(self._read, 1.0)
        return int(min(LONGEST_TAIL, max(usual, _PASSED_FOR_EACH * known)))

    def remember_long(self, boundary: Filter) -> None:
        """Note that a boundary has a long history, so that the indexes are the slower way."""
        if len(self._long) >= _MOST_REMEMBERED:
            self._long.clear()
        self._long.add(boundary.items)

    def learn(self, rows: Iterable[Row]) -> None:
        """Look at what a walk answered."""
        passed, read = walk_of(rows)
        if passed:  # walks of nothing must not make both sums vanish
            self._passed = _MEMORY * self._passed + passed
            self._read = _MEMORY * self._read + read
