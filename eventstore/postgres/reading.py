"""Queries: which server answers, and by which statement. Every answer holds the events and the head of one snapshot."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import TypeAlias

import asyncpg

from eventstore.errors import EventStoreError, HistoryDiverged, InvalidRequest, PositionNotReached, StoreMisconfigured
from eventstore.filter import Filter
from eventstore.position import START, Position
from eventstore.postgres.coalescing import Answer
from eventstore.postgres.migrate import SCHEMA_VERSION
from eventstore.postgres.pools import Pool, Pools
from eventstore.postgres.replicas import Fallback, ReadCounts, Replicas
from eventstore.postgres.rows import head_of
from eventstore.postgres.server_reads import LongHistory, ServerReads
from eventstore.postgres.statements import statement
from eventstore.store import Consistency, EventStream

__all__ = ["Reader"]

_POLL_SECONDS = 0.01

# What append_v1 accepts, too.
_DURABLE = {"on", "remote_apply"}


_Ask: TypeAlias = Callable[[ServerReads, int], Awaitable[Answer]]


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
        self._servers = {pool: ServerReads(pool, seconds=read_seconds) for pool in (pools.primary, *pools.replicas)}

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

        async def ask(server: ServerReads, milestone: int) -> Answer:
            if up_to is not None:
                return await server.range(boundary, up_to, milestone)
            return await server.query(boundary, milestone)

        return await self._asked(ask, consistency, least)

    async def short(
        self, boundary: Filter, *, consistency: Consistency, min_position: Position = START
    ) -> EventStream | None:
        """Answer like ``query``, if only some hundred events match; None when there may be more."""

        async def ask(server: ServerReads, milestone: int) -> Answer:
            return await server.short(boundary, milestone)

        try:
            return await self._asked(ask, consistency, _Least(min_position, 0))
        except LongHistory:
            return None

    async def _asked(self, ask: _Ask, consistency: Consistency, least: _Least) -> EventStream:
        if consistency is Consistency.EVENTUAL and self._replicas:
            match await self._from_replica(ask, least):
                case EventStream() as stream:
                    return stream
                case Fallback() as reason:
                    self.counts.fallbacks[reason] += 1
        else:
            self.counts.primary += 1
        return await self._from_primary(ask, least)

    async def head(self, *, consistency: Consistency) -> Position:
        """Look up how far the log is: one row, on a replica if that is allowed and one is up."""
        pool = self._replicas.choose(0) if consistency is Consistency.EVENTUAL else self._primary
        if isinstance(pool, Pool) and pool is not self._primary:
            try:
                return await self._servers[pool].head()
            except EventStoreError:
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

    async def _from_replica(self, ask: _Ask, least: _Least) -> EventStream | Fallback:
        pool = self._replicas.choose(least.number)
        if isinstance(pool, Fallback):
            return pool
        try:
            answer = await ask(self._servers[pool], least.position.number)
        except InvalidRequest:
            raise  # no server would take it
        except EventStoreError:
            # Whatever it is: one that has not replayed the migration yet has no store, one with a broken disk has
            # half of it. The primary tells.
            self._replicas.failed(pool)
            return Fallback.FAILED
        self._replicas.succeeded(pool)
        if answer.position.number < least.number or not least.holds(answer):
            return Fallback.BEHIND  # or in another history: the primary tells
        self.counts.replicas[pool.address] += 1
        return EventStream(events=answer.events, position=answer.position, replica=True)

    async def _from_primary(self, ask: _Ask, least: _Least) -> EventStream:
        # Even the primary can be behind: a synchronous standby shows a commit before the primary does.
        deadline = monotonic() + self._reach_seconds
        while True:
            answer = await ask(self._servers[self._primary], least.position.number)
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
