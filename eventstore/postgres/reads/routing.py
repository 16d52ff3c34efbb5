"""Routing: the server that answers a read, and whether its answer meets the requirement."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeAlias, TypeVar

from eventstore.errors import EventStoreError, HistoryDiverged, InvalidRequest, PositionNotReached
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.connections.pools import Pools
from eventstore.postgres.reads.lookup import Answer
from eventstore.postgres.reads.replicas import Fallback, ReadCounts, Replicas
from eventstore.postgres.reads.requirement import Requirement
from eventstore.postgres.reads.server import ServerReads
from eventstore.stream import Consistency

__all__ = ["Routing"]

_POLL_SECONDS = 0.01

_A = TypeVar("_A", bound=Answer)
_T = TypeVar("_T")
_Ask: TypeAlias = Callable[[ServerReads, frozenset[int]], Awaitable[_A]]


class Routing:
    """Routes each read to a server that its consistency allows.

    Args:
        pools: The pools of the store's servers.
        replicas: Chooses the replica for an eventual read.
        reach_seconds: The seconds that a query waits for the primary to reach its ``min_position``.
        read_seconds: The timeout in seconds of one statement.

    Attributes:
        counts: How many reads each server has answered.
        primary: The reads of the primary.
    """

    def __init__(self, pools: Pools, replicas: Replicas, *, reach_seconds: float, read_seconds: float) -> None:
        self.counts = ReadCounts()
        self._replicas = replicas
        self._reach_seconds = reach_seconds
        self._servers = {pool: ServerReads(pool, seconds=read_seconds) for pool in (pools.primary, *pools.replicas)}
        self.primary = self._servers[pools.primary]

    def is_primary(self, consistency: Consistency) -> bool:
        """Whether only the primary may answer."""
        return consistency is Consistency.STRONG or not self._replicas

    async def asked(self, ask: _Ask[_A], consistency: Consistency, least: Requirement) -> tuple[_A, Pool]:
        """Return an answer that meets the requirement, and the pool of the server that gave it.

        Args:
            ask: Sends the query to a server; its second argument is the sequence numbers whose tokens are needed.
            consistency: Whether a replica may answer.
            least: The requirement that the answer must meet.

        Raises:
            PositionNotReached: No server reached the required number before the store's timeout.
            HistoryDiverged: A position is not in the primary's history.
            HistoryArchived: A position, or events asked for, may be archived on the primary.
        """
        if not self.is_primary(consistency):
            match await self._from_replica(ask, least):
                case Fallback() as reason:
                    self.counts.fallbacks[reason] += 1
                case answered:
                    return answered
        else:
            self.counts.primary += 1
        return await self._from_primary(ask, least), self.primary.pool

    async def tried(
        self, ask: Callable[[ServerReads], Awaitable[_T]], consistency: Consistency, bound: int
    ) -> _T | None:
        """Return a replica's answer if one is known to have reached ``bound``; None if there is none or it failed."""
        if consistency is Consistency.EVENTUAL and isinstance(pool := self._replicas.choose(bound), Pool):
            try:
                return await ask(self._servers[pool])
            except EventStoreError:
                self._replicas.failed(pool)
        return None

    async def close(self) -> None:
        """Wait until no query is in flight."""
        for server in self._servers.values():
            await server.close()

    async def _from_replica(self, ask: _Ask[_A], least: Requirement) -> tuple[_A, Pool] | Fallback:
        pool = self._replicas.choose(least.bound)
        if isinstance(pool, Fallback):
            return pool
        try:
            answer = await ask(self._servers[pool], least.milestones)
        except InvalidRequest:
            raise  # no server would accept it
        except EventStoreError:
            # Whatever the error: a replica that has not replayed a migration has no store, one with a broken disk has
            # half of it. The primary decides.
            self._replicas.failed(pool)
            return Fallback.FAILED
        self._replicas.succeeded(pool)
        if answer.position.number < least.bound or least.stranger(answer) is not None:
            return Fallback.BEHIND  # or in another history: the primary decides
        if answer.archived is not None:
            return Fallback.BEHIND  # the range may be restored on the primary
        self.counts.replicas[pool.address] += 1
        return answer, pool

    async def _from_primary(self, ask: _Ask[_A], least: Requirement) -> _A:
        # Even the primary can be behind: a synchronous standby shows a commit before the primary does.
        deadline = monotonic() + self._reach_seconds
        while True:
            answer = await ask(self.primary, least.milestones)
            if answer.position.number >= least.number:
                if answer.archived is not None:
                    raise answer.archived.refusal(least.after)
                if (stranger := least.stranger(answer)) is not None:
                    raise HistoryDiverged(f"position {stranger} is not in this store's history")
                return answer
            if monotonic() >= deadline:
                raise PositionNotReached(
                    f"the primary's log ends at {answer.position.number}, before {least.number}, "
                    f"after {self._reach_seconds} s of waiting"
                )
            await asyncio.sleep(_POLL_SECONDS)
