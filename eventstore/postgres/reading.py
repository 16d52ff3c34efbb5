"""Queries: which server answers, and by which statement. Every answer holds the events and the head of one snapshot."""

import asyncio
from collections.abc import Sequence
from time import monotonic

import asyncpg

from eventstore.errors import PositionNotReached, RetryableError, StoreMisconfigured
from eventstore.filter import Filter, FilterShape
from eventstore.position import Position
from eventstore.postgres.branches import Branch, branches_of, columns
from eventstore.postgres.coalescing import Answer, Coalescer
from eventstore.postgres.migrate import SCHEMA_VERSION
from eventstore.postgres.pools import Pool, Pools
from eventstore.postgres.rows import event_of, head_of
from eventstore.postgres.statements import statement
from eventstore.store import Consistency, EventStream

__all__ = ["Reader"]

_POLL_SECONDS = 0.01
_LAST_NUMBER = 2**63 - 1
# A tail that is not longer is walked; beyond, the indexes are faster.
_LONGEST_TAIL = 4096
# A history that is longer is read by itself, so that its rows do not keep others waiting for theirs.
_LONGEST_SHARED = 1000


class _ServerReads:
    """The reads of one server."""

    def __init__(self, pool: Pool, *, seconds: float) -> None:
        self.pool = pool
        self.histories = Coalescer(pool, _history_statement, seconds=seconds)
        self.tails = Coalescer(pool, _tail_statement, seconds=seconds)
        self._seconds = seconds
        # The highest head that was seen here: tells about how long a tail is.
        self._head = 0

    async def query(self, boundary: Filter) -> Answer:
        """Answer one query, in company where that is faster."""
        if boundary.shape is FilterShape.ANY:
            return await self.range(boundary, _LAST_NUMBER)
        branches = branches_of(boundary)
        answer: Answer | None = None
        if boundary.above and branches and self._head - boundary.above <= _LONGEST_TAIL:
            answer = await self.tails.ask(branches)
            if answer.position.number - boundary.above > _LONGEST_TAIL:
                answer = None  # the head had moved on; the statement did not look
        if answer is None:
            answer = await self.histories.ask(branches)
            if answer.longest > _LONGEST_SHARED:
                answer = await self._alone(statement("query"), (*columns(branches), None))
        self._head = max(self._head, answer.position.number)
        return answer

    async def range(self, boundary: Filter, up_to: int) -> Answer:
        """Walk a range of the log, or all of it."""
        return await self._alone(statement("range"), (*columns(branches_of(boundary)), boundary.above, up_to))

    async def head(self) -> tuple[Position, int]:
        """Look up how far the log is, and the schema's version."""
        rows = await self.pool.fetch(statement("head"), seconds=self._seconds)
        position = head_of(rows)
        self._head = max(self._head, position.number)
        return position, rows[0]["schema_version"]

    async def close(self) -> None:
        """Wait until nothing is in flight."""
        await self.histories.close()
        await self.tails.close()

    async def _alone(self, sql: str, parameters: Sequence[object]) -> Answer:
        rows = await self.pool.fetch(sql, parameters, seconds=self._seconds)
        events = {}
        for count, row in enumerate(rows, start=1):
            if row["branch"]:
                events[row["sequence_number"]] = event_of(row)
            if count % _LONGEST_SHARED == 0:
                await asyncio.sleep(0)  # a long history must not keep the loop from everyone else
        ordered = tuple(events[number] for number in sorted(events))
        return Answer(events=ordered, position=head_of(rows), longest=len(ordered))


class Reader:
    """Answers queries from the server that the consistency asks for.

    Args:
        pools: The servers.
        reach_seconds: How long a query waits for the primary to reach its ``min_position``.
        read_seconds: How long one statement may take.
    """

    def __init__(self, pools: Pools, *, reach_seconds: float, read_seconds: float) -> None:
        self._pools = pools
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
    ) -> EventStream:
        """Answer ``EventStore.query``; ``up_to`` leaves out events with a higher number."""
        least = min_position.number if min_position is not None else 0
        if consistency is Consistency.EVENTUAL and self._pools.replicas:
            answer = await self._from_replica(boundary, up_to)
            if answer is not None and answer.position.number >= least:
                self._pools.counts.replica += 1
                return EventStream(events=answer.events, position=answer.position, replica=True)
            self._pools.counts.fallback += 1
        else:
            self._pools.counts.primary += 1
        return await self._from_primary(boundary, least, up_to)

    async def head(self, *, consistency: Consistency) -> Position:
        """Look up how far the log is: one row, on a replica if that is allowed and one is up."""
        pool = self._pools.replica() if consistency is Consistency.EVENTUAL else None
        if pool is not None:
            try:
                return (await self._servers[pool].head())[0]
            except RetryableError:
                pool.failed()
        return (await self._servers[self._pools.primary].head())[0]

    async def rows(self, sql: str, *parameters: object) -> "list[asyncpg.Record]":
        """Run another reading statement on the primary."""
        return await self._pools.primary.fetch(sql, parameters, seconds=self._read_seconds)

    async def check_schema(self) -> None:
        """Make sure that this program and the database fit together.

        Raises:
            StoreMisconfigured: The database has no event store, or one that is older than this program.
        """
        _, version = await self._servers[self._pools.primary].head()
        if version < SCHEMA_VERSION:
            raise StoreMisconfigured(
                f"the database's event store has schema version {version}, this program needs {SCHEMA_VERSION}: "
                "run `worker db migrate`"
            )

    async def close(self) -> None:
        """Wait until nothing is in flight."""
        for server in self._servers.values():
            await server.close()

    async def _from_replica(self, boundary: Filter, up_to: int | None) -> Answer | None:
        pool = self._pools.replica()
        if pool is None:
            return None
        try:
            answer = await self._read(pool, boundary, up_to)
        except (RetryableError, StoreMisconfigured):
            # Misconfigured, too: a replica that has not replayed the migration yet has no store. The primary tells.
            pool.failed()
            return None
        pool.succeeded()
        return answer

    async def _from_primary(self, boundary: Filter, least: int, up_to: int | None) -> EventStream:
        # Even the primary can be behind: a synchronous standby shows a commit before the primary does.
        deadline = monotonic() + self._reach_seconds
        while True:
            answer = await self._read(self._pools.primary, boundary, up_to)
            if answer.position.number >= least:
                return EventStream(events=answer.events, position=answer.position)
            if monotonic() >= deadline:
                raise PositionNotReached(
                    f"the primary's log ends at {answer.position.number}, before {least}, "
                    f"after {self._reach_seconds} s of waiting"
                )
            await asyncio.sleep(_POLL_SECONDS)

    async def _read(self, pool: Pool, boundary: Filter, up_to: int | None) -> Answer:
        server = self._servers[pool]
        return await (server.query(boundary) if up_to is None else server.range(boundary, up_to))


def _history_statement(branches: Sequence[Branch]) -> tuple[str, tuple[object, ...]]:
    # One more than fits tells that there is more.
    return statement("query"), (*columns(branches), _LONGEST_SHARED + 1)


def _tail_statement(branches: Sequence[Branch]) -> tuple[str, tuple[object, ...]]:
    lowest = min(branch.above for branch in branches)
    return statement("tail"), (*columns(branches), lowest, _LONGEST_TAIL)
