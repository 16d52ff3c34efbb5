"""One server's reads: each by the statement that is fast for it, in company where it can be shared."""

import asyncio
from collections.abc import Sequence

from eventstore.filter import Filter, FilterShape
from eventstore.position import Position
from eventstore.postgres.branches import Branch, branches_of, columns
from eventstore.postgres.coalescing import Answer, Coalescer
from eventstore.postgres.pools import Pool
from eventstore.postgres.rows import event_of, head_of, tokens_of
from eventstore.postgres.statements import statement
from eventstore.postgres.tail_limit import LONGEST_TAIL, TailLimit

__all__ = ["LongHistory", "ServerReads"]

_LAST_NUMBER = 2**63 - 1
# A history that is longer is read by itself, so that its rows do not keep others waiting for theirs.
_LONGEST_SHARED = 1000


class LongHistory(Exception):
    """Raised for a history that is not short. No caller of the reader meets it."""


class ServerReads:
    """The reads of one server."""

    def __init__(self, pool: Pool, *, seconds: float) -> None:
        self.pool = pool
        self.histories = Coalescer(pool, "query", _history_statement, seconds=seconds)
        self._limit = TailLimit()
        self.tails = Coalescer(pool, "tail", _tail_statement, seconds=seconds, learn=self._limit.learn)
        self._seconds = seconds

    async def query(self, boundary: Filter, milestone: int) -> Answer:
        """Answer one query, in company where that is faster."""
        if boundary.shape is FilterShape.ANY:
            return await self.range(boundary, _LAST_NUMBER, milestone)
        branches = branches_of(boundary)
        answer: Answer | None = None
        if boundary.above and branches and self.pool.head.number - boundary.above <= self._limit.of(boundary):
            answer = await self.tails.ask(branches, milestone)
            if answer.position.number - boundary.above > LONGEST_TAIL:
                answer = None  # the head had moved on; the statement did not look for this query
        if answer is None:
            answer = await self.histories.ask(branches, milestone)
            if answer.longest > _LONGEST_SHARED:
                self._limit.remember_long(boundary)
                answer = await self._alone(statement("query"), (*columns(branches), None, [milestone]), milestone)
        self.pool.head = answer.position
        return answer

    async def short(self, boundary: Filter, milestone: int) -> Answer:
        """Read a whole history by the indexes, if it is short.

        Raises:
            LongHistory: It is not, or only a walk along the log would tell.
        """
        if boundary.shape is FilterShape.ANY:
            raise LongHistory
        answer = await self.histories.ask(branches_of(boundary), milestone)
        if answer.longest > _LONGEST_SHARED:
            raise LongHistory
        return answer

    async def range(self, boundary: Filter, up_to: int, milestone: int) -> Answer:
        """Walk a range of the log, or all of it."""
        branches = columns(branches_of(boundary))
        return await self._alone(statement("range"), (*branches, boundary.above, up_to, [milestone]), milestone)

    async def head(self) -> Position:
        """Look up how far the log is."""
        self.pool.head = head_of(await self.pool.fetch(statement("head"), seconds=self._seconds))
        return self.pool.head

    async def close(self) -> None:
        """Wait until nothing is in flight."""
        await self.histories.close()
        await self.tails.close()

    async def _alone(self, sql: str, parameters: Sequence[object], milestone: int) -> Answer:
        rows = await self.pool.fetch(sql, parameters, seconds=self._seconds)
        events = {}
        for count, row in enumerate(rows, start=1):
            if row["branch"] > 0:
                events[row["sequence_number"]] = event_of(row)
            if count % _LONGEST_SHARED == 0:
                await asyncio.sleep(0)  # a long history must not keep the loop from everyone else
        ordered = tuple(events[number] for number in sorted(events))
        return Answer(ordered, head_of(rows), tokens_of(rows).get(milestone), len(ordered))


def _history_statement(branches: Sequence[Branch], milestones: Sequence[int]) -> tuple[str, tuple[object, ...]]:
    # One more than fits tells that there is more.
    return statement("query"), (*columns(branches), _LONGEST_SHARED + 1, milestones)


def _tail_statement(branches: Sequence[Branch], milestones: Sequence[int]) -> tuple[str, tuple[object, ...]]:
    return statement("tail"), (*columns(branches), LONGEST_TAIL, milestones)
