"""Lookups: the branches that reading statements are asked for, and their answers."""

import asyncio
from array import array
from collections.abc import Sequence
from itertools import chain
from typing import Self

import msgspec

from eventstore.events import RecordedEvent
from eventstore.position import START, Position
from eventstore.postgres.drivers.protocol import Row
from eventstore.postgres.reads.archived import Archived, Range
from eventstore.postgres.reads.branches import Branch
from eventstore.postgres.reads.rows import ARCHIVED, ARCHIVED_POSITION, HEAD, TOKEN, event_of

__all__ = ["Answer", "Lookup", "Numbers", "Shared"]

# The number of rows that are converted before other tasks get a turn on the event loop.
_MOST_AT_ONCE = 2000


class Lookup(msgspec.Struct, frozen=True, gc=False):
    """Filters that are answered together from one snapshot.

    Attributes:
        filters: For each filter its branches; a filter without branches matches nothing.
        milestones: The sequence numbers of events whose tokens are wanted as well; by default none.
        most: The largest number of events wanted of one filter; None, the default, for all.
    """

    filters: tuple[tuple[Branch, ...], ...]
    milestones: frozenset[int] = frozenset()
    most: int | None = None


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The answer to a lookup.

    Attributes:
        found: For each filter its events, in order, each once; None if there are more than wanted.
        position: The head of the log.
        tokens: The tokens of the events at the milestones, by sequence number. Milestones beyond the head are missing.
        archived: The parts of the lookup that are missing because they are archived; None if there are none.
    """

    found: tuple[tuple[RecordedEvent, ...] | None, ...]
    position: Position
    tokens: dict[int, int]
    archived: Archived | None = None


class Numbers(Answer, frozen=True, gc=False):
    """The answer to a search for sequence numbers.

    Attributes:
        numbers: The numbers found, in order, each once.
        reached: The approximate number up to which they are complete; None if they are all there is.
    """

    numbers: Sequence[int] = ()
    reached: int | None = None

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        """Convert the rows of ``numbers.sql``, which belong to one filter."""
        shared = Shared([])
        filters: dict[int, Range] = {}
        positions: dict[int, Range] = {}
        for row in rows:
            if row[0] == ARCHIVED:
                filters.setdefault(0, (row[1], row[2]))
            elif row[0] == ARCHIVED_POSITION:
                positions[row[1]] = (row["numbers"][0], row[2])
        shared.learn([row for row in rows if row[0] in (HEAD, TOKEN)])
        (found,) = [row for row in rows if row[0] > 0]
        return cls(
            found=(),
            position=shared.position,
            tokens=shared.tokens,
            archived=Archived(filters, positions) if filters or positions else None,
            numbers=array("q", found["numbers"]),
            reached=found["sequence_number"],
        )


class Shared:
    """Lookups that share one statement: what several of them need is asked, sent and converted once.

    Attributes:
        branches: The distinct branches; the statement's rows refer to them by number, from 1.
        milestones: The sequence numbers of the events whose tokens are wanted, ascending.
        most: The largest number of events of one branch that any lookup wants; None for all.
        position: The head of the log; set by ``learn``.
        tokens: The tokens of the events at the milestones, by sequence number; set by ``learn``.
        is_one_filter: Whether all branches belong to one filter, so that the statement may name any of them for an
            event.
    """

    def __init__(self, lookups: Sequence[Lookup]) -> None:
        self._numbers: dict[Branch, int] = {}
        milestones: set[int] = set()
        self.most: int | None = 0
        for lookup in lookups:
            self.most = None if self.most is None or lookup.most is None else max(self.most, lookup.most)
            milestones |= lookup.milestones
            for branches in lookup.filters:
                for branch in branches:
                    self._numbers.setdefault(branch, len(self._numbers) + 1)
        self.branches: Sequence[Branch] = tuple(self._numbers)
        self.milestones: Sequence[int] = tuple(sorted(milestones))
        self.is_one_filter = len(lookups) == 1 and len(lookups[0].filters) == 1
        # Indexed by branch number; there is no branch 0.
        self._rows: list[list[Row]] = [[] for _ in range(len(self.branches) + 1)]
        self._events: dict[int, RecordedEvent] = {}
        self._count = 0
        self.position = START
        self.tokens: dict[int, int] = {}
        # By branch number, and by milestone.
        self._archived: dict[int, Range] = {}
        self._archived_positions: dict[int, Range] = {}

    @property
    def is_long(self) -> bool:
        """Whether there are so many rows that other tasks should get turns while they are converted."""
        return self._count > _MOST_AT_ONCE

    def learn(self, rows: Sequence[Row]) -> None:
        """Store the statement's rows."""
        self._count = len(rows)
        kept = self._rows
        for row in rows:
            branch = row[0]
            if branch > 0:
                kept[branch].append(row)
            elif branch == HEAD:
                self.position = Position(number=row[1], token=row[2])
            elif branch == TOKEN:
                self.tokens[row[1]] = row[2]
            elif branch == ARCHIVED:
                self._archived.setdefault(int(row[3]), (row[1], row[2]))
            elif branch == ARCHIVED_POSITION:
                self._archived_positions[row[1]] = (int(row[3]), row[2])

    async def read_ahead(self) -> None:
        """Convert the rows of a long answer, yielding to other tasks in between."""
        rows, events = list(chain.from_iterable(self._rows)), self._events
        for start in range(0, len(rows), _MOST_AT_ONCE):
            for row in rows[start : start + _MOST_AT_ONCE]:
                if row[1] not in events:
                    events[row[1]] = event_of(row)
            await asyncio.sleep(0)

    def answer(self, lookup: Lookup) -> Answer:
        """Build the answer to one of the lookups from the rows."""
        return Answer(
            tuple([self._found(branches, lookup.most) for branches in lookup.filters]),
            self.position,
            self.tokens,
            self._lacking(lookup) if self._archived or self._archived_positions else None,
        )

    def _lacking(self, lookup: Lookup) -> Archived | None:
        """Return the parts of a lookup that are missing because they are archived, or None."""
        positions = {number: found for number, found in self._archived_positions.items() if number in lookup.milestones}
        if self.is_one_filter:
            # The statement may number other branches than the lookup does.
            filters = {0: min(self._archived.values())} if self._archived else {}
        else:
            filters = {
                place: min(found)
                for place, branches in enumerate(lookup.filters)
                if (
                    found := [
                        self._archived[number] for each in branches if (number := self._numbers[each]) in self._archived
                    ]
                )
            }
        return Archived(filters, positions) if filters or positions else None

    def _found(self, branches: Sequence[Branch], most: int | None) -> tuple[RecordedEvent, ...] | None:
        """Convert the events of a filter, in order; an event of several filters is converted once."""
        # Several branches of a filter may find one event.
        rows = {row[1]: row for branch in branches for row in self._rows[self._numbers[branch]]}
        if most is not None and len(rows) > most:
            return None
        events, found = self._events, []
        for number in sorted(rows):
            event = events.get(number)
            if event is None:
                event = events[number] = event_of(rows[number])
            found.append(event)
        return tuple(found)
