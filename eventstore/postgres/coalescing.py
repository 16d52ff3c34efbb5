"""Coalesced reads: queries that wait while reads are in flight share the next round trip.

A round trip costs the client and the server more than most queries do. There is no timer: an idle store asks at once,
a busy one gathers by itself.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import asyncpg

from eventstore.errors import EventStoreError, InvalidRequest
from eventstore.metrics import batch_size, queue_wait
from eventstore.postgres.branches import Branch
from eventstore.postgres.line import Line
from eventstore.postgres.lookup import Answer, Lookup, Shared
from eventstore.postgres.pools import Pool

__all__ = ["Coalescer", "Statement"]

# A statement takes no further query when it has so many filters. One query may have more.
_MOST_FILTERS = 128
# How many queries are queued or under way at once: eight statements. Whoever comes then waits outside, in turn.
_MOST_WAITING = 1024

Statement = Callable[[Sequence[Branch], int | None, Sequence[int]], tuple[str, tuple[object, ...]]]
"""Returns a statement's text and parameters for branches, how many events of each are worth sending (None: all), and
milestones. It answers as ``query.sql`` does."""

Learn = Callable[[Sequence[asyncpg.Record]], None]


@dataclass(slots=True, eq=False)
class _Waiting:
    lookup: Lookup
    answer: asyncio.Future[Answer]
    since: float = field(default_factory=perf_counter)


class Coalescer:
    """Gathers queries of one kind to one server.

    Args:
        pool: The server.
        kind: What the queries are called in the metrics.
        statement: What is asked for the branches of several queries.
        seconds: How long one statement may take.
        learn: Looks at what each statement answered.
    """

    def __init__(
        self, pool: Pool, kind: str, statement: Statement, *, seconds: float, learn: Learn | None = None
    ) -> None:
        self._line = Line(pool)
        self._labels = {"operation": kind}
        self._statement = statement
        self._seconds = seconds
        self._learn = learn
        self._room = asyncio.Semaphore(_MOST_WAITING)
        self._queue: deque[_Waiting] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def ask(self, lookup: Lookup) -> Answer:
        """Ask one query. While very many wait, its caller waits before it does.

        Raises:
            EventStoreError: The statement failed.

        On cancellation a query that was not sent yet is withdrawn.
        """
        async with self._room:
            waiting = _Waiting(lookup, asyncio.get_running_loop().create_future())
            self._queue.append(waiting)
            if self._sender is None:
                # It begins in the next turn of the loop: whoever asks in this one comes along.
                self._sender = asyncio.create_task(self._send_all())
            return await waiting.answer

    async def close(self) -> None:
        """Wait until nothing is in flight."""
        while self._sender is not None:
            await asyncio.wait([self._sender])
        await self._line.drop()

    async def _send_all(self) -> None:
        # One statement at a time: with a second one in flight both would be half as large, and cost more together
        # than they save in waiting.
        try:
            while batch := self._next_batch():
                batch_size.record(len(batch), self._labels)
                queue_wait.record(perf_counter() - batch[0].since, self._labels)
                await self._answer(batch)
        finally:
            self._sender = None

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        filters = 0
        while self._queue and filters < _MOST_FILTERS:
            waiting = self._queue.popleft()
            if not waiting.answer.done():
                batch.append(waiting)
                filters += len(waiting.lookup.filters)
        return batch

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        shared = Shared([waiting.lookup for waiting in batch])
        text, parameters = self._statement(shared.branches, shared.most, shared.milestones)
        try:
            rows = await self._line.fetch(text, parameters, seconds=self._seconds)
            shared.learn(rows)
            if self._learn is not None:
                self._learn(rows)
            if shared.is_long:
                await shared.read_ahead()
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_result(shared.answer(waiting.lookup))
        except InvalidRequest as error:
            await self._split(batch, error)
        except Exception as error:  # noqa: BLE001  whatever it is, every caller must get an answer
            for waiting in batch:
                _fail(waiting, error)

    async def _split(self, batch: Sequence[_Waiting], error: InvalidRequest) -> None:
        """Halve until the query that the server refuses stands alone: it must not fail its neighbours."""
        if len(batch) == 1:
            _fail(batch[0], error)
            return
        middle = len(batch) // 2
        await self._answer(batch[:middle])
        await self._answer(batch[middle:])


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not isinstance(error, EventStoreError):
        error = EventStoreError(f"a query failed unexpectedly: {error!r}")
    if not waiting.answer.done():
        waiting.answer.set_exception(error.copy_for_caller())
