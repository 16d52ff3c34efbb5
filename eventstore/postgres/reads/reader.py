"""Queries: which server answers, and by which statement. Every answer holds the events and the head of one snapshot."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import TypeAlias, TypeVar

from eventstore.errors import EventStoreError, HistoryDiverged, InvalidRequest, PositionNotReached
from eventstore.filter import Filter
from eventstore.position import START, Position
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.connections.pools import Pools
from eventstore.postgres.drivers.protocol import Row
from eventstore.postgres.reads.branches import is_period, matches_any
from eventstore.postgres.reads.lookup import Answer, Numbers
from eventstore.postgres.reads.replicas import Fallback, ReadCounts, Replicas
from eventstore.postgres.reads.requirement import NO_MILESTONES, Requirement
from eventstore.postgres.reads.rows import state_of
from eventstore.postgres.reads.server import ServerReads
from eventstore.postgres.statements import statement
from eventstore.question import Question
from eventstore.stored_state import StateKey, StoredState
from eventstore.stream import Consistency, EventStream, Window

__all__ = ["Reader"]

_POLL_SECONDS = 0.01

_A = TypeVar("_A", bound=Answer)
_T = TypeVar("_T")
_Ask: TypeAlias = Callable[[ServerReads, frozenset[int]], Awaitable[_A]]


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
        self._primary_reads = self._servers[pools.primary]

    async def query_many(self, question: Question, *, consistency: Consistency) -> list[EventStream]:
        """Answer ``EventStore.query_many``.

        Raises:
            PositionNotReached: As there.
            HistoryDiverged: As there.
        """
        if not question.filters:
            return []
        if not question.positions and (consistency is Consistency.STRONG or not self._replicas):
            # Whatever the primary answers is far enough, and in its history.
            self.counts.primary += 1
            answer = await self._primary_reads.query(question.filters, NO_MILESTONES, question.most, question.known)
            return self._streams((answer, self._primary))

        async def ask(server: ServerReads, milestones: frozenset[int]) -> Answer:
            return await server.query(question.filters, milestones, question.most, question.known)

        least = Requirement.of(question.positions, bound=question.bound)
        return self._streams(await self._asked(ask, consistency, least))

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
            up_to: Leaves out events with a higher number, and has the log walked up to it.
            reach: The answer must come from a server that is at least this far, in whichever history.

        Raises:
            PositionNotReached: As there.
            HistoryDiverged: As there.
        """

        async def ask(server: ServerReads, milestones: frozenset[int]) -> Answer:
            if up_to is not None:
                return await server.range(boundary, up_to, milestones)
            return await server.query((boundary,), milestones, None)

        least = Requirement.for_filter(boundary, min_position, reach)
        (stream,) = self._streams(await self._asked(ask, consistency, least))
        return stream

    async def window(
        self, boundary: Filter, *, consistency: Consistency, min_position: Position, up_to: int, reach: int
    ) -> Window:
        """Walk the log up to a number, or to its head if that comes first. Arguments are those of ``query``.

        Raises:
            PositionNotReached: As there.
            HistoryDiverged: As there.
        """

        async def ask(server: ServerReads, milestones: frozenset[int]) -> Answer:
            return await server.range(boundary, up_to, milestones | {up_to})

        answer, _ = await self._asked(ask, consistency, Requirement.for_filter(boundary, min_position, reach))
        (events,), head = answer.found, answer.position
        ends_there = head.number <= up_to
        position = head if ends_there else Position(number=up_to, token=answer.tokens[up_to])
        return Window(events=events or (), position=position, head=head)

    async def short(
        self, boundary: Filter, *, consistency: Consistency, min_position: Position = START
    ) -> EventStream | None:
        """Answer like ``query``, if only some hundred events match; None when there may be more."""
        if matches_any(boundary) and not is_period(boundary):
            return None  # only a walk along the log would tell

        async def ask(server: ServerReads, milestones: frozenset[int]) -> Answer:
            return await server.short(boundary, milestones)

        (stream,) = self._streams(await self._asked(ask, consistency, Requirement.for_filter(boundary, min_position)))
        return stream if stream.complete else None

    async def numbers(
        self, boundary: Filter, *, up_to: int, most: int, consistency: Consistency, min_position: Position
    ) -> tuple[Sequence[int], int | None]:
        """Find the numbers of the events that match, by the indexes.

        Args:
            boundary: Which events; it must not match any event.
            up_to: Leaves out higher numbers.
            most: How many numbers of one alternative are found.
            consistency: Whether a replica may answer.
            min_position: As in ``query``.

        Returns:
            The numbers, in order; and if some are missing, about how far they go.
        """

        async def ask(server: ServerReads, milestones: frozenset[int]) -> Numbers:
            return await server.numbers(boundary, up_to, most, milestones)

        answer, _ = await self._asked(ask, consistency, Requirement.for_filter(boundary, min_position))
        return answer.numbers, answer.reached

    async def span(
        self, boundary: Filter, *, consistency: Consistency, min_position: Position
    ) -> tuple[int, int] | None:
        """Find between which numbers the events of a filter's period lie, as far as the log went or further.

        Returns:
            The lowest and the highest, (1, 0) if there is none; None where that would not help.
        """
        if boundary.since is None and boundary.until is None:
            return None

        async def ask(server: ServerReads, milestones: frozenset[int]) -> Numbers:
            return await server.span(boundary, milestones)

        answer, _ = await self._asked(ask, consistency, Requirement.for_filter(boundary, min_position))
        if answer.reached is not None:
            return None
        return (answer.numbers[0], answer.numbers[-1]) if answer.numbers else (1, 0)

    async def listed(self, numbers: Sequence[int], *, consistency: Consistency, min_position: Position) -> EventStream:
        """Read events by their numbers, which are known to be in the log."""

        async def ask(server: ServerReads, milestones: frozenset[int]) -> Answer:
            return await server.listed(numbers, milestones)

        (stream,) = self._streams(await self._asked(ask, consistency, Requirement.for_filter(None, min_position)))
        return stream

    async def _asked(self, ask: _Ask[_A], consistency: Consistency, least: Requirement) -> tuple[_A, Pool]:
        """Return an answer that knows what it must, and whose it is."""
        if consistency is Consistency.EVENTUAL and self._replicas:
            match await self._from_replica(ask, least):
                case Fallback() as reason:
                    self.counts.fallbacks[reason] += 1
                case answered:
                    return answered
        else:
            self.counts.primary += 1
        return await self._from_primary(ask, least), self._primary

    async def head(self, *, consistency: Consistency, bound: int = 0, positions: Sequence[Position] = ()) -> Position:
        """Look up how far the log is.

        Args:
            consistency: Whether a replica may answer.
            bound: How far a replica must be.
            positions: What must lie in the answering server's history.

        Raises:
            PositionNotReached: No server came as far as one of them.
            HistoryDiverged: One of them is not in this store's history.
        """
        if needed := tuple(dict.fromkeys(position for position in positions if position != START)):

            async def ask(server: ServerReads, milestones: frozenset[int]) -> Answer:
                return await server.listed((), milestones)

            answer, _ = await self._asked(ask, consistency, Requirement.of(needed, bound=bound))
            return answer.position
        head = await self._tried(lambda pool: self._servers[pool].head(), consistency, bound)
        return head if head is not None and head.number >= bound else await self._primary_reads.head()

    async def states(self, keys: Sequence[StateKey], *, consistency: Consistency) -> list[StoredState | None]:
        """Answer ``EventStore.stored_states``."""
        if not keys:
            return []
        parameters = ([key.digest for key in keys],)
        found = await self._tried(
            lambda pool: pool.fetch(statement("states"), parameters, seconds=self._read_seconds), consistency, 0
        )
        if found is None:
            found = await self.rows(statement("states"), *parameters)
        rows = {row["digest"]: row for row in found}
        return [state_of(key, row) if (row := rows.get(key.digest)) else None for key in keys]

    async def rows(self, sql: str, *parameters: object) -> Sequence[Row]:
        """Run another reading statement on the primary."""
        return await self._primary.fetch(sql, parameters, seconds=self._read_seconds)

    async def confirm(self) -> None:
        """Wait until what the primary has committed cannot be lost by a failover to its synchronous standby.

        Raises:
            StoreUnavailable: That is not confirmed in time.
        """
        await self._primary.confirm(seconds=self._read_seconds)

    async def close(self) -> None:
        """Wait until nothing is in flight."""
        for server in self._servers.values():
            await server.close()

    def _streams(self, answered: tuple[Answer, Pool]) -> list[EventStream]:
        answer, pool = answered
        return [
            EventStream(
                events=events or (),
                position=answer.position,
                replica=pool is not self._primary,
                complete=events is not None,
                server=pool.server,
            )
            for events in answer.found
        ]

    async def _tried(self, ask: Callable[[Pool], Awaitable[_T]], consistency: Consistency, bound: int) -> _T | None:
        """Return what a replica answers that is as far as a number, as far as is known; None if none does."""
        if consistency is Consistency.EVENTUAL and isinstance(pool := self._replicas.choose(bound), Pool):
            try:
                return await ask(pool)
            except EventStoreError:
                self._replicas.failed(pool)
        return None

    async def _from_replica(self, ask: _Ask[_A], least: Requirement) -> tuple[_A, Pool] | Fallback:
        pool = self._replicas.choose(least.bound)
        if isinstance(pool, Fallback):
            return pool
        try:
            answer = await ask(self._servers[pool], least.milestones)
        except InvalidRequest:
            raise  # no server would take it
        except EventStoreError:
            # Whatever it is: one that has not replayed the migration yet has no store, one with a broken disk has
            # half of it. The primary tells.
            self._replicas.failed(pool)
            return Fallback.FAILED
        self._replicas.succeeded(pool)
        if answer.position.number < least.bound or least.stranger(answer) is not None:
            return Fallback.BEHIND  # or in another history: the primary tells
        self.counts.replicas[pool.address] += 1
        return answer, pool

    async def _from_primary(self, ask: _Ask[_A], least: Requirement) -> _A:
        # Even the primary can be behind: a synchronous standby shows a commit before the primary does.
        deadline = monotonic() + self._reach_seconds
        while True:
            answer = await ask(self._primary_reads, least.milestones)
            if answer.position.number >= least.number:
                if (stranger := least.stranger(answer)) is not None:
                    raise HistoryDiverged(f"position {stranger} is not in this store's history")
                return answer
            if monotonic() >= deadline:
                raise PositionNotReached(
                    f"the primary's log ends at {answer.position.number}, before {least.number}, "
                    f"after {self._reach_seconds} s of waiting"
                )
            await asyncio.sleep(_POLL_SECONDS)
