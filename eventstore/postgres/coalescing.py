"""Coalesced reads: queries that wait while reads are in flight share the next round trip.

A round trip costs the client and the server more than most queries do. There is no timer: an idle store asks at once,
a busy one gathers by itself.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import asyncpg

from eventstore.errors import EventStoreError, InvalidRequest
from eventstore.events import RecordedEvent
from eventstore.metrics import batch_size, queue_wait
from eventstore.position import Position
from eventstore.postgres.branches import Branch
from eventstore.postgres.line import Line
from eventstore.postgres.pools import Pool
from eventstore.postgres.rows import event_of, head_of, tokens_of

__all__ = ["Answer", "Coalescer", "Statement"]

_MOST_QUERIES = 128
# How many queries are queued or under way at once: eight statements. Whoever comes then waits outside, in turn.
_MOST_WAITING = 1024

Statement = Callable[[Sequence[Branch], Sequence[int]], tuple[str, tuple[object, ...]]]
"""Returns a statement's text and parameters for branches and milestones. It answers as ``query.sql`` does."""

Learn = Callable[[Sequence[asyncpg.Record]], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found for one query.

    Attributes:
        events: In order, each once.
        position: The head.
        token: The token of the event at the milestone; None without one, or when it lies beyond the head.
        longest: How many events the query's largest branch gave.
    """

    events: tuple[RecordedEvent, ...]
    position: Position
    token: int | None
    longest: int


@dataclass(slots=True, eq=False)
class _Waiting:
    branches: tuple[Branch, ...]
    milestone: int
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

    async def ask(self, branches: tuple[Branch, ...], milestone: int) -> Answer:
        """Ask one query. While very many wait, its caller waits before it does.

        Args:
            branches: The query.
            milestone: The number of an event whose token is asked for as well; 0 for none.

        Raises:
            EventStoreError: The statement failed.

        On cancellation a query that was not sent yet is withdrawn.
        """
        async with self._room:
            waiting = _Waiting(branches, milestone, asyncio.get_running_loop().create_future())
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
        while self._queue and len(batch) < _MOST_QUERIES:
            waiting = self._queue.popleft()
            if not waiting.answer.done():
                batch.append(waiting)
        return batch

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        # Queries of one hot boundary share a branch: it is asked, sent and read once.
        numbers: dict[Branch, int] = {}
        for waiting in batch:
            for branch in waiting.branches:
                numbers.setdefault(branch, len(numbers) + 1)
        milestones = {waiting.milestone for waiting in batch} - {0}
        text, parameters = self._statement(tuple(numbers), tuple(milestones))
        try:
            rows = await self._line.fetch(text, parameters, seconds=self._seconds)
            head, tokens, events = head_of(rows), tokens_of(rows), _by_branch(rows)
            if self._learn is not None:
                self._learn(rows)
        except InvalidRequest as error:
            await self._split(batch, error)
        except Exception as error:  # noqa: BLE001  whatever it is, every caller must get an answer
            for waiting in batch:
                _fail(waiting, error)
        else:
            for waiting in batch:
                if not waiting.answer.done():
                    found = [events[number] for branch in waiting.branches if (number := numbers[branch]) in events]
                    longest = max(map(len, found), default=0)
                    waiting.answer.set_result(Answer(_merged(found), head, tokens.get(waiting.milestone), longest))

    async def _split(self, batch: Sequence[_Waiting], error: InvalidRequest) -> None:
        """Halve until the query that the server refuses stands alone: it must not fail its neighbours."""
        if len(batch) == 1:
            _fail(batch[0], error)
            return
        middle = len(batch) // 2
        await self._answer(batch[:middle])
        await self._answer(batch[middle:])


def _by_branch(rows: Iterable[asyncpg.Record]) -> dict[int, dict[int, RecordedEvent]]:
    """Sort what was found into branches; an event that several of them share is read once."""
    events: dict[int, RecordedEvent] = {}
    branches: dict[int, dict[int, RecordedEvent]] = {}
    for row in rows:
        branch, number = row[0], row[1]
        if branch > 0:
            event = events.get(number)
            if event is None:
                event = events[number] = event_of(row)
            branches.setdefault(branch, {})[number] = event
    return branches


def _merged(branches: Sequence[dict[int, RecordedEvent]]) -> tuple[RecordedEvent, ...]:
    together = branches[0] if len(branches) == 1 else {n: e for branch in branches for n, e in branch.items()}
    return tuple(together[number] for number in sorted(together))


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not isinstance(error, EventStoreError):
        error = EventStoreError(f"a query failed unexpectedly: {error!r}")
    if not waiting.answer.done():
        waiting.answer.set_exception(error.twin())
