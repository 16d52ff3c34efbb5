"""Exclusive appends: the caller takes the lock first, then reads, decides and appends under it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from eventstore.append import Append, check_chain
from eventstore.arguments import check_held_read, check_hold
from eventstore.errors import InvalidRequest, OutcomeUnknown
from eventstore.filter import Filter
from eventstore.position import Position
from eventstore.postgres.appends.appender import Appender
from eventstore.postgres.appends.batch import AppendAnswer
from eventstore.postgres.appends.held_transaction import HeldTransaction
from eventstore.postgres.connections.pools import Pools
from eventstore.question import Question
from eventstore.stream import Consistency, EventStream
from eventstore.telemetry import Telemetry

__all__ = ["Exclusive", "PostgresHold"]


class PostgresHold:
    """A ``Held`` on PostgreSQL.

    Args:
        transaction: The transaction that holds the lock.
        pools: The pools of the store; the lock is the primary's.
        appender: Records an append without the lock if it failed under it.
        telemetry: Traces the queries and the append.
    """

    def __init__(self, transaction: HeldTransaction, pools: Pools, appender: Appender, telemetry: Telemetry) -> None:
        self._transaction = transaction
        self._pools = pools
        self._appender = appender
        self._telemetry = telemetry
        self.recording: asyncio.Task[list[AppendAnswer]] | None = None

    @property
    def position(self) -> Position:
        """See ``Held.position``."""
        return self._transaction.head

    async def query_many(
        self,
        filters: Sequence[Filter],
        *,
        after: Sequence[Position] | None = None,
        known: Sequence[int] = (),
        most: int | None = None,
    ) -> list[EventStream]:
        """See ``Held.query_many``."""
        question = Question.of(filters, after=after, known=known, most=most)
        self._check()
        check_held_read(question, self.position)
        if not question.filters:
            return []
        with self._telemetry.query(question.filters, Consistency.STRONG) as operation:
            answer = await self._transaction.answer(question)
            streams = [
                EventStream(
                    events=events or (),
                    position=answer.position,
                    complete=events is not None,
                    server=self._pools.primary.server,
                )
                for events in answer.found
            ]
            operation.found(streams)
            return streams

    async def append_chain(self, appends: Sequence[Append]) -> list[AppendAnswer]:
        """See ``Held.append_chain``."""
        check_chain(appends)
        self._check()
        # In a task of its own: a commit that is cancelled while it waits for a standby has happened nevertheless.
        self.recording = asyncio.create_task(self._record(appends))
        return await asyncio.shield(self.recording)

    async def _record(self, appends: Sequence[Append]) -> list[AppendAnswer]:
        with self._telemetry.appends(appends) as chain:
            try:
                with self._telemetry.sent(chain.spans, sum(len(append.events) for append in appends)):
                    chain.answers = await self._transaction.record(appends)
            except OutcomeUnknown:
                chain.answers = await self._appender.append_chain(appends, chain.spans, unanswered=1)
            except InvalidRequest:
                # Only the append whose value is refused may fail; sending the chain in parts finds it.
                chain.answers = await self._appender.append_chain(appends, chain.spans)
            return chain.answers

    def _check(self) -> None:
        if self.recording is not None:
            raise InvalidRequest("the lock was released by the append: take it again")


class Exclusive:
    """Gives callers the lock.

    Args:
        pools: The pools of the store; the lock is the primary's.
        appender: Records an append without the lock if it failed under it.
        telemetry: Traces the operations under the lock.
    """

    def __init__(self, pools: Pools, appender: Appender, telemetry: Telemetry) -> None:
        self._pools = pools
        self._appender = appender
        self._telemetry = telemetry
        self._recording: set[asyncio.Task[list[AppendAnswer]]] = set()

    @asynccontextmanager
    async def hold(self, *, limit: float, patience: float) -> AsyncIterator[PostgresHold]:
        """Hold the lock; see ``EventStore.exclusive``."""
        check_hold(limit, patience)
        transaction = HeldTransaction(self._pools, limit=limit, patience=patience)
        await transaction.begin()
        hold = PostgresHold(transaction, self._pools, self._appender, self._telemetry)
        try:
            yield hold
        finally:
            if hold.recording is None:
                await transaction.leave()
            elif not hold.recording.done():
                # The caller has left. The task continues, and returns the connection.
                self._recording.add(hold.recording)
                hold.recording.add_done_callback(self._recorded)

    def _recorded(self, recording: "asyncio.Task[list[AppendAnswer]]") -> None:
        self._recording.discard(recording)
        if not recording.cancelled():
            recording.exception()  # no caller is left to receive the error

    async def close(self) -> None:
        """Wait until every append whose caller has left is complete."""
        while self._recording:
            await asyncio.wait(self._recording)
