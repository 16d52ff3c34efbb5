"""Lanes: commands of one process that would only conflict with each other take turns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from eventstore import Filter

__all__ = ["Lanes"]

# Boundaries that name event types alone meet each other, and nothing else that can be told in advance.
_TYPES_ALONE = ""


class _Lane:
    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


class Lanes:
    """One lock a predicate. Boundaries that share a predicate pass one after another, first come, first served."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}

    def __len__(self) -> int:
        """How many lanes are in use."""
        return len(self._lanes)

    @asynccontextmanager
    async def turn(self, boundary: Filter) -> AsyncIterator[None]:
        """Wait for the boundary's turn, and have it until the ``async with`` ends.

        On cancellation while it waits, the turn is given up.
        """
        names = {predicate.fragment for predicate in boundary.predicates}
        if any(not item.predicates for item in boundary.items):
            names.add(_TYPES_ALONE)
        # Everyone takes the locks in this order, so that nobody waits in a circle.
        ordered = sorted(names)
        lanes = [self._lanes.setdefault(name, _Lane()) for name in ordered]
        for lane in lanes:
            lane.users += 1
        held = 0
        try:
            for lane in lanes:
                await lane.lock.acquire()
                held += 1
            yield
        finally:
            for lane in lanes[:held]:
                lane.lock.release()
            for name, lane in zip(ordered, lanes, strict=True):
                lane.users -= 1
                if not lane.users:
                    del self._lanes[name]
