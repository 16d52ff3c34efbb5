"""Lookups: what reading statements are asked for, as branches, and what they answered."""

import asyncio
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import asyncpg

from eventstore.events import RecordedEvent
from eventstore.position import START, Position
from eventstore.postgres.branches import Branch
from eventstore.postgres.rows import HEAD, TOKEN, event_of

__all__ = ["Answer", "Lookup", "Numbers", "Shared"]

# So many events are read from rows before others have their turn on the loop.
_MOST_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Lookup:
    """What is asked together, and answered from one snapshot.

    Attributes:
        filters: For each filter its branches; one without branches matches nothing.
        milestones: Numbers of events whose tokens are asked for as well.
        most: How many events of one filter are wanted at most; None: all.
    """

    filters: tuple[tuple[Branch, ...], ...]
    milestones: frozenset[int] = frozenset()
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found.

    Attributes:
        found: For each filter its events, in order, each once; None if there are more than were wanted.
        position: The head.
        tokens: The tokens of the events at the milestones, by number. Of those beyond the head there are none.
    """

    found: tuple[tuple[RecordedEvent, ...] | None, ...]
    position: Position
    tokens: dict[int, int]


@dataclass(frozen=True, slots=True)
class Numbers(Answer):
    """What was found, by number alone.

    Attributes:
        numbers: In order, each once.
        reached: About how far they go, if some are missing.
    """

    numbers: Sequence[int]
    reached: int | None

    @classmethod
    def of(cls, rows: Sequence[asyncpg.Record]) -> Self:
        """Read the rows of ``numbers.sql``."""
        shared = Shared([])
        shared.learn([row for row in rows if row[0] <= 0])
        (found,) = [row for row in rows if row[0] > 0]
        return cls((), shared.position, shared.tokens, array("q", found["numbers"]), found["sequence_number"])


class Shared:
    """Lookups that share one statement: what several of them ask for is asked, sent and read once.

    Attributes:
        branches: What is asked; the rows of the first are those of branch 1.
        milestones: The numbers of the events whose tokens are asked for.
        most: How many events of one branch any of them wants at most; None: all.
        position: The head, once it is learnt.
        tokens: The tokens of the events at the milestones, by number.
    """

    def __init__(self, lookups: Iterable[Lookup]) -> None:
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
        self.milestones: Sequence[int] = tuple(milestones)
        self._rows: dict[int, list[asyncpg.Record]] = {}
        self._events: dict[int, RecordedEvent] = {}
        self.position = START
        self.tokens: dict[int, int] = {}

    def learn(self, rows: Iterable[asyncpg.Record]) -> None:
        """Take the statement's rows."""
        for row in rows:
            branch = row[0]
            if branch > 0:
                self._rows.setdefault(branch, []).append(row)
            elif branch == HEAD:
                self.position = Position(number=row[1], token=row[2])
            elif branch == TOKEN:
                self.tokens[row[1]] = row[2]

    async def answer(self, lookup: Lookup) -> Answer:
        """Answer one of the lookups from the rows."""
        found: list[tuple[RecordedEvent, ...] | None] = []
        for branches in lookup.filters:
            rows = self._rows_of(branches)
            if lookup.most is not None and len(rows) > lookup.most:
                found.append(None)
            else:
                found.append(await self._read(rows) if rows else ())
        return Answer(tuple(found), self.position, self.tokens)

    def _rows_of(self, branches: Sequence[Branch]) -> Sequence[asyncpg.Record]:
        if len(branches) == 1:
            return self._rows.get(self._numbers[branches[0]], ())
        parts = [rows for branch in branches if (rows := self._rows.get(self._numbers[branch]))]
        return tuple({row[1]: row for rows in parts for row in rows}.values())

    async def _read(self, rows: Sequence[asyncpg.Record]) -> tuple[RecordedEvent, ...]:
        events = []
        for count, row in enumerate(sorted(rows, key=_number), start=1):
            number = row[1]
            event = self._events.get(number)
            if event is None:
                event = self._events[number] = event_of(row)
            events.append(event)
            if count % _MOST_AT_ONCE == 0:
                await asyncio.sleep(0)  # a long history must not keep the loop from everyone else
        return tuple(events)


def _number(row: asyncpg.Record) -> int:
    number: int = row[1]
    return number
