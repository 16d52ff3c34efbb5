"""Lanes: commands of one process that would only conflict with each other take their turn together."""

import asyncio
from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from eventstore import EventStore, Filter
from worker.rounds.group import Group, Place

__all__ = ["Lanes"]

# Boundaries that name event types alone meet each other, and nothing else that can be told in advance.
_TYPES_ALONE = ""
# So many are decided one on top of another at most: while they are recorded, everybody else waits.
_LARGEST_GROUP = 64


@dataclass(slots=True, eq=False)
class _Turn:
    """One command that waits for its turn, or has it.

    Attributes:
        ticket: Who has a lower one goes first.
        lanes: Which lanes it takes.
        place: Its place in a group, once it has its turn.
    """

    ticket: int
    lanes: frozenset[str]
    place: asyncio.Future[Place] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(slots=True, eq=False)
class _Company:
    """Turns that begin together, with the lanes that they take."""

    turns: list[_Turn]
    lanes: frozenset[str]


class Lanes:
    """One lane a predicate. Boundaries that share a predicate meet, and are decided one after another.

    Whoever finds its lanes free has its turn at once. Those that come meanwhile wait, and have theirs together: they
    are decided one on top of another, and appended in one transaction. First come, first decided.

    Args:
        store: Where they are recorded.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._tickets = count(1)
        self._waiting: list[_Turn] = []
        self._busy: set[str] = set()

    def __len__(self) -> int:
        """How many lanes are in use."""
        return len(self._busy)

    def ticket(self) -> int:
        """Draw a number. With it, a command that comes again goes before those that came after it at first."""
        return next(self._tickets)

    async def turn(self, filters: Iterable[Filter], ticket: int) -> Place:
        """Wait for the turn of a boundary that consists of these filters. It lasts until the place is left.

        On cancellation while it waits, the turn is given up.
        """
        lanes: set[str] = set()
        for boundary in filters:
            lanes.update(predicate.fragment for predicate in boundary.predicates)
            if any(not item.predicates for item in boundary.items):
                lanes.add(_TYPES_ALONE)
        turn = _Turn(ticket, frozenset(lanes))
        insort(self._waiting, turn, key=lambda each: each.ticket)
        self._admit()
        if turn.place.done():
            return turn.place.result()
        try:
            # Shielded: whoever admits it must not meet a future that its cancellation has ended.
            return await asyncio.shield(turn.place)
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
                self._admit()  # somebody may have waited for nobody but us
            else:
                turn.place.result().leave()
            raise

    def _admit(self) -> None:
        """Give their turn to all whose lanes are free, or are taken by nobody but those who begin now."""
        taken = set(self._busy)
        companies: list[_Company] = []
        waiting = []
        for turn in self._waiting:
            meeting = [company for company in companies if company.lanes & turn.lanes]
            size = sum(len(company.turns) for company in meeting)
            if turn.lanes & taken or size >= _LARGEST_GROUP:
                # Nobody who came later may be decided before it where they meet.
                taken |= turn.lanes
                waiting.append(turn)
                continue
            companies = [company for company in companies if company not in meeting]
            companies.append(_together(meeting, turn))
        self._waiting = waiting
        for company in companies:
            self._begin(company)

    def _begin(self, company: _Company) -> None:
        self._busy |= company.lanes
        group = Group(len(company.turns), self._store, partial(self._end, company.lanes))
        for turn, place in zip(company.turns, group.places(), strict=True):
            turn.place.set_result(place)

    def _end(self, lanes: frozenset[str]) -> None:
        self._busy -= lanes
        self._admit()


def _together(companies: list[_Company], turn: _Turn) -> _Company:
    """Join companies that a further turn meets, in the order of the tickets."""
    turns = [turn, *(each for company in companies for each in company.turns)]
    return _Company(
        sorted(turns, key=lambda each: each.ticket),
        turn.lanes.union(*(company.lanes for company in companies)),
    )
