"""The reader: chooses the statement for each query. Every answer has the events and the head from one snapshot."""

from collections.abc import Sequence

from eventstore.errors import HistoryArchived
from eventstore.filter import Filter
from eventstore.position import START, Position
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.connections.pools import Pools
from eventstore.postgres.drivers.protocol import Row
from eventstore.postgres.reads.branches import is_period, matches_any
from eventstore.postgres.reads.lookup import Answer, Numbers
from eventstore.postgres.reads.replicas import ReadCounts, Replicas
from eventstore.postgres.reads.requirement import NO_MILESTONES, Requirement
from eventstore.postgres.reads.routing import Routing
from eventstore.postgres.reads.rows import state_of
from eventstore.postgres.reads.server import ServerReads
from eventstore.postgres.statements import statement
from eventstore.question import Question
from eventstore.stored_state import StateKey, StoredState
from eventstore.stream import Consistency, EventStream, Window

__all__ = ["Reader"]


class Reader:
    """Answers queries from the servers that their consistency allows.

    Args:
        pools: The pools of the store's servers.
        replicas: Chooses the replica for an eventual read.
        reach_seconds: The seconds that a query waits for the primary to reach its ``min_position``.
        read_seconds: The timeout in seconds of one statement.
    """

    def __init__(self, pools: Pools, replicas: Replicas, *, reach_seconds: float, read_seconds: float) -> None:
        self._routing = Routing(pools, replicas, reach_seconds=reach_seconds, read_seconds=read_seconds)
        self._primary = pools.primary
        self._read_seconds = read_seconds

    @property
    def counts(self) -> ReadCounts:
        """How many queries each server has answered."""
        return self._routing.counts

    async def query_many(self, question: Question, *, consistency: Consistency) -> list[EventStream]:
        """Answer ``EventStore.query_many``.

        Raises:
            PositionNotReached: No server reached the required positions before the store's timeout.
            HistoryDiverged: A position is not in this store's history.
        """
        if not question.filters:
            return []
        if not question.positions and self._routing.is_primary(consistency):
            # Any answer of the primary is recent enough, and in its own history.
            self._routing.counts.primary += 1
            answer = await self._routing.primary.query(question.filters, NO_MILESTONES, question.most, question.known)
            if answer.archived is not None:
                raise answer.archived.refusal()
            return self._streams((answer, self._primary))

        async def ask(server: ServerReads, milestones: frozenset[int]) -> Answer:
            return await server.query(question.filters, milestones, question.most, question.known)

        least = Requirement.of(question.positions, bound=question.bound, after=question.after)
        return self._streams(await self._routing.asked(ask, consistency, least))

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
            boundary: The filter that selects the events.
            consistency: Whether a replica may answer.
            min_position: The position that the answering server must have reached, in the same history; None for any.
            up_to: Exclude events with a higher sequence number, and walk the log up to it; None to use the indexes.
            reach: The sequence number that the answering server must have reached, in any history; by default 0.

        Raises:
            PositionNotReached: No server reached ``min_position`` or ``reach`` before the store's timeout.
            HistoryDiverged: ``min_position`` is not in this store's history.
        """

        async def ask(server: ServerReads, milestones: frozenset[int]) -> Answer:
            if up_to is not None:
                return await server.range(boundary, up_to, milestones)
            return await server.query((boundary,), milestones, None)

        least = Requirement.for_filter(boundary, min_position, reach)
        (stream,) = self._streams(await self._routing.asked(ask, consistency, least))
        return stream

    async def window(
        self, boundary: Filter, *, consistency: Consistency, min_position: Position, up_to: int, reach: int
    ) -> Window:
        """Walk the log up to a sequence number, or to the head if that is lower. Parameters are those of ``query``.

        Raises:
            PositionNotReached: No server reached ``min_position`` or ``reach`` before the store's timeout.
            HistoryDiverged: ``min_position`` is not in this store's history.
        """

        async def ask(server: ServerReads, milestones: frozenset[int]) -> Answer:
            return await server.range(boundary, up_to, milestones | {up_to})

        try:
            answer, _ = await self._routing.asked(
                ask, consistency, Requirement.for_filter(boundary, min_position, reach)
            )
        except HistoryArchived as error:
            if error.position != up_to or up_to in (error.last, min_position.number):
                raise
            # No event asked for is archived. Of an archived range, only the last number can be used as a position.
            return await self.window(
                boundary, consistency=consistency, min_position=min_position, up_to=error.last, reach=reach
            )
        (events,), head = answer.found, answer.position
        ends_there = head.number <= up_to
        position = head if ends_there else Position(number=up_to, token=answer.tokens[up_to])
        return Window(events=events or (), position=position, head=head)

    async def short(
        self, boundary: Filter, *, consistency: Consistency, min_position: Position = START
    ) -> EventStream | None:
        """Answer like ``query`` if at most ``LONGEST_SHARED`` events match; None if there may be more."""
        if matches_any(boundary) and not is_period(boundary):
            return None  # only a walk along the log could count them

        async def ask(server: ServerReads, milestones: frozenset[int]) -> Answer:
            return await server.short(boundary, milestones)

        (stream,) = self._streams(
            await self._routing.asked(ask, consistency, Requirement.for_filter(boundary, min_position))
        )
        return stream if stream.complete else None

    async def numbers(
        self, boundary: Filter, *, up_to: int, most: int, consistency: Consistency, min_position: Position
    ) -> tuple[Sequence[int], int | None]:
        """Find the sequence numbers of matching events by the indexes.

        Args:
            boundary: The filter that selects the events; it must not match any event.
            up_to: Exclude higher sequence numbers.
            most: The largest number of matches of one alternative.
            consistency: Whether a replica may answer.
            min_position: The position that the answering server must have reached, in the same history.

        Returns:
            The sequence numbers, in order; and the approximate number up to which they are complete, or None if all
            were found.
        """

        async def ask(server: ServerReads, milestones: frozenset[int]) -> Numbers:
            return await server.numbers(boundary, up_to, most, milestones)

        answer, _ = await self._routing.asked(ask, consistency, Requirement.for_filter(boundary, min_position))
        return answer.numbers, answer.reached

    async def span(
        self, boundary: Filter, *, consistency: Consistency, min_position: Position
    ) -> tuple[int, int] | None:
        """Find the range of sequence numbers of a filter's period, at least up to the head at the time of the call.

        Returns:
            The lowest and highest sequence number, (1, 0) if there is none; None if the range would not help.
        """
        if boundary.since is None and boundary.until is None:
            return None

        async def ask(server: ServerReads, milestones: frozenset[int]) -> Numbers:
            return await server.span(boundary, milestones)

        answer, _ = await self._routing.asked(ask, consistency, Requirement.for_filter(boundary, min_position))
        if answer.reached is not None:
            return None
        return (answer.numbers[0], answer.numbers[-1]) if answer.numbers else (1, 0)

    async def listed(self, numbers: Sequence[int], *, consistency: Consistency, min_position: Position) -> EventStream:
        """Read events by their sequence numbers, which must be in the log."""

        async def ask(server: ServerReads, milestones: frozenset[int]) -> Answer:
            return await server.listed(numbers, milestones)

        (stream,) = self._streams(
            await self._routing.asked(ask, consistency, Requirement.for_filter(None, min_position))
        )
        return stream

    async def head(self, *, consistency: Consistency, bound: int = 0, positions: Sequence[Position] = ()) -> Position:
        """Look up the head of the log.

        Args:
            consistency: Whether a replica may answer.
            bound: The sequence number that a replica must have reached; by default 0.
            positions: Positions that must lie in the answering server's history; by default none.

        Raises:
            PositionNotReached: No server reached all positions before the store's timeout.
            HistoryDiverged: A position is not in this store's history.
        """
        if needed := tuple(dict.fromkeys(position for position in positions if position != START)):

            async def ask(server: ServerReads, milestones: frozenset[int]) -> Answer:
                return await server.listed((), milestones)

            answer, _ = await self._routing.asked(ask, consistency, Requirement.of(needed, bound=bound))
            return answer.position
        head = await self._routing.tried(lambda server: server.head(), consistency, bound)
        return head if head is not None and head.number >= bound else await self._routing.primary.head()

    async def states(self, keys: Sequence[StateKey], *, consistency: Consistency) -> list[StoredState | None]:
        """Answer ``EventStore.stored_states``."""
        if not keys:
            return []
        parameters = ([key.digest for key in keys],)
        found = await self._routing.tried(
            lambda server: server.pool.fetch(statement("states"), parameters, seconds=self._read_seconds),
            consistency,
            0,
        )
        if found is None:
            found = await self.rows(statement("states"), *parameters)
        rows = {row["digest"]: row for row in found}
        return [state_of(key, row) if (row := rows.get(key.digest)) else None for key in keys]

    async def rows(self, sql: str, *parameters: object) -> Sequence[Row]:
        """Run any other reading statement on the primary."""
        return await self._primary.fetch(sql, parameters, seconds=self._read_seconds)

    async def confirm(self) -> None:
        """Wait until a failover to the synchronous standby cannot lose what the primary has committed.

        Raises:
            StoreUnavailable: The standby did not confirm in time.
        """
        await self._primary.confirm(seconds=self._read_seconds)

    async def close(self) -> None:
        """Wait until no query is in flight."""
        await self._routing.close()

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
