"""Queries: which server answers, and by which statement. Every answer holds the events and the head of one snapshot."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

import asyncpg

from eventstore.errors import HistoryDiverged, PositionNotReached, RetryableError, StoreMisconfigured
from eventstore.filter import Filter, FilterItem, FilterShape
from eventstore.position import START, Position
from eventstore.postgres.branches import Branch, branches_of, columns
from eventstore.postgres.coalescing import Answer, Coalescer
from eventstore.postgres.migrate import SCHEMA_VERSION
from eventstore.postgres.pools import Pool, Pools
from eventstore.postgres.replicas import Fallback, ReadCounts, Replicas
from eventstore.postgres.rows import event_of, head_of, tokens_of
from eventstore.postgres.statements import statement
from eventstore.store import Consistency, EventStream

__all__ = ["Reader"]

_POLL_SECONDS = 0.01
_LAST_NUMBER = 2**63 - 1
# How long a tail may be to be walked. Beyond, the indexes are faster, unless they would fetch a long history.
_LONGEST_TAIL = 256
_LONGEST_TAIL_OF_LONG_HISTORY = 4096
# How many boundaries with a long history are remembered.
_MOST_REMEMBERED = 10_000
# A history that is longer is read by itself, so that its rows do not keep others waiting for theirs.
_LONGEST_SHARED = 1000

# What append_v1 accepts, too.
_DURABLE = {"on", "remote_apply"}


class _ServerReads:
    """The reads of one server."""

    def __init__(self, pool: Pool, *, seconds: float) -> None:
        self.pool = pool
        self.histories = Coalescer(pool, "query", _history_statement, seconds=seconds)
        self.tails = Coalescer(pool, "tail", _tail_statement, seconds=seconds)
        self._seconds = seconds
        self._long: set[tuple[FilterItem, ...]] = set()

    async def query(self, boundary: Filter, milestone: int) -> Answer:
        """Answer one query, in company where that is faster."""
        if boundary.shape is FilterShape.ANY:
            return await self.range(boundary, _LAST_NUMBER, milestone)
        branches = branches_of(boundary)
        answer: Answer | None = None
        if boundary.above and branches and self.pool.head.number - boundary.above <= self._longest_tail(boundary):
            answer = await self.tails.ask(branches, milestone)
            if answer.position.number - boundary.above > _LONGEST_TAIL_OF_LONG_HISTORY:
                answer = None  # the head had moved on; the statement did not look
        if answer is None:
            answer = await self.histories.ask(branches, milestone)
            if answer.longest > _LONGEST_SHARED:
                self._remember_long(boundary)
                answer = await self._alone(statement("query"), (*columns(branches), None, [milestone]), milestone)
        self.pool.head = answer.position
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

    def _longest_tail(self, boundary: Filter) -> int:
        return _LONGEST_TAIL_OF_LONG_HISTORY if boundary.items in self._long else _LONGEST_TAIL

    def _remember_long(self, boundary: Filter) -> None:
        if len(self._long) >= _MOST_REMEMBERED:
            self._long.clear()
        self._long.add(boundary.items)

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


@dataclass(frozen=True, slots=True)
class _Least:
    """What an answer must know: a position, and that the log goes on to a number."""

    position: Position
    reach: int

    @property
    def number(self) -> int:
        return max(self.position.number, self.reach)

    def holds(self, answer: Answer) -> bool:
        """Whether the position lies in the history that was read."""
        return self.position == START or answer.token == self.position.token


class Reader:
    """Answers queries from the server that the consistency asks for.

    Attributes:
        counts: Where they were answered.

    Args:
        pools: The servers.
        replicas: Which of them answers an eventual read.
        reach_seconds: How long a query waits for the primary to reach its ``min_position``.
        read_seconds: How long one statement may take.
    """

    def __init__(self, pools: Pools, replicas: Replicas, *, reach_seconds: float, read_seconds: float) -> None:
        self.counts = ReadCounts()
        self._primary = pools.primary
        self._replicas = replicas
        self._reach_seconds = reach_seconds
        self._read_seconds = read_seconds
        self._servers = {pool: _ServerReads(pool, seconds=read_seconds) for pool in (pools.primary, *pools.replicas)}

    async def query(
        self,
        boundary: Filter,
        *,
        consistency: Consistency,
        min_position: Position | None = None,
        up_to: int | None = None,
        reach: int = 0,
    ) -> EventStream:
        """Answer ``EventStore.query``.

        Args:
            boundary: Which events.
            consistency: Whether a replica may answer.
            min_position: As there.
            up_to: Leaves out events with a higher number.
            reach: The answer must come from a server that is at least this far, in whichever history.

        Raises:
            PositionNotReached: As there.
            HistoryDiverged: As there.
        """
        least = _Least(min_position if min_position is not None else START, reach)
        if consistency is Consistency.EVENTUAL and self._replicas:
            match await self._from_replica(boundary, least, up_to):
                case EventStream() as stream:
                    return stream
                case Fallback() as reason:
                    self.counts.fallbacks[reason] += 1
        else:
            self.counts.primary += 1
        return await self._from_primary(boundary, least, up_to)

    async def head(self, *, consistency: Consistency) -> Position:
        """Look up how far the log is: one row, on a replica if that is allowed and one is up."""
        pool = self._replicas.choose(0) if consistency is Consistency.EVENTUAL else self._primary
        if isinstance(pool, Pool) and pool is not self._primary:
            try:
                return await self._servers[pool].head()
            except (RetryableError, StoreMisconfigured):
                self._replicas.failed(pool)
        return await self._servers[self._primary].head()

    async def rows(self, sql: str, *parameters: object) -> "list[asyncpg.Record]":
        """Run another reading statement on the primary."""
        return await self._primary.fetch(sql, parameters, seconds=self._read_seconds)

    async def check(self) -> None:
        """Make sure that this program and the database fit together.

        Raises:
            StoreMisconfigured: The database has no event store, or one that is older than this program, or it would
                promise commits that a crash can undo.
        """
        rows = await self.rows(statement("head"))
        head_of(rows)
        version, durability = rows[0]["schema_version"], rows[0]["synchronous_commit"]
        if version < SCHEMA_VERSION:
            raise StoreMisconfigured(
                f"the database's event store has schema version {version}, this program needs {SCHEMA_VERSION}: "
                "run `worker db migrate`"
            )
        if durability not in _DURABLE:
            raise StoreMisconfigured(
                f"the database's synchronous_commit must be 'on' or 'remote_apply', not {durability!r}: "
                "a crash could lose what was promised; change it with ALTER DATABASE or ALTER ROLE"
            )

    async def close(self) -> None:
        """Wait until nothing is in flight."""
        for server in self._servers.values():
            await server.close()

    async def _from_replica(self, boundary: Filter, least: _Least, up_to: int | None) -> EventStream | Fallback:
        pool = self._replicas.choose(least.number)
        if isinstance(pool, Fallback):
            return pool
        try:
            answer = await self._read(pool, boundary, least, up_to)
        except (RetryableError, StoreMisconfigured):
            # Misconfigured, too: a replica that has not replayed the migration yet has no store. The primary tells.
            self._replicas.failed(pool)
            return Fallback.FAILED
        self._replicas.succeeded(pool)
        if answer.position.number < least.number or not least.holds(answer):
            return Fallback.BEHIND  # or in another history: the primary tells
        self.counts.replicas[pool.address] += 1
        return EventStream(events=answer.events, position=answer.position, replica=True)

    async def _from_primary(self, boundary: Filter, least: _Least, up_to: int | None) -> EventStream:
        # Even the primary can be behind: a synchronous standby shows a commit before the primary does.
        deadline = monotonic() + self._reach_seconds
        while True:
            answer = await self._read(self._primary, boundary, least, up_to)
            if answer.position.number >= least.number:
                if not least.holds(answer):
                    raise HistoryDiverged(f"position {least.position} is not in this store's history")
                return EventStream(events=answer.events, position=answer.position)
            if monotonic() >= deadline:
                raise PositionNotReached(
                    f"the primary's log ends at {answer.position.number}, before {least.number}, "
                    f"after {self._reach_seconds} s of waiting"
                )
            await asyncio.sleep(_POLL_SECONDS)

    async def _read(self, pool: Pool, boundary: Filter, least: _Least, up_to: int | None) -> Answer:
        server = self._servers[pool]
        if up_to is not None:
            return await server.range(boundary, up_to, least.position.number)
        return await server.query(boundary, least.position.number)


def _history_statement(branches: Sequence[Branch], milestones: Sequence[int]) -> tuple[str, tuple[object, ...]]:
    # One more than fits tells that there is more.
    return statement("query"), (*columns(branches), _LONGEST_SHARED + 1, milestones)


def _tail_statement(branches: Sequence[Branch], milestones: Sequence[int]) -> tuple[str, tuple[object, ...]]:
    lowest = min(branch.above for branch in branches)
    return statement("tail"), (*columns(branches), lowest, _LONGEST_TAIL_OF_LONG_HISTORY, milestones)
