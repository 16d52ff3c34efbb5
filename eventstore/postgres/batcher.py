"""Batches: what waits while one is in flight shares the next.

A round trip, and a commit, cost the client and the server more than most of what is asked. There is no timer: an idle
store asks at once, a busy one gathers by itself.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import Generic, TypeVar

from eventstore.errors import EventStoreError, InvalidRequest
from eventstore.metrics import batch_size, queue_wait
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.connections.sticky_connection import StickyConnection

__all__ = ["Batcher", "Waiting"]

# How many wait or are under way at once: eight batches. Whoever comes then waits outside, in turn.
_MOST_WAITING = 1024
_LARGEST_BATCH = 128
_LARGEST_BATCH_BYTES = 1_000_000

Q = TypeVar("Q")
A = TypeVar("A")


class Waiting(Generic[Q, A]):
    """What one caller asks, and waits for.

    Attributes:
        question: The question.
        answer: Its answer.
        since: When it came.
        is_bound: Whether it is settled even if its caller has given up.
    """

    __slots__ = ("answer", "is_bound", "question", "since")

    def __init__(self, question: Q, *, is_bound: bool) -> None:
        self.question = question
        self.answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self.since = perf_counter()
        self.is_bound = is_bound


class Batcher(ABC, Generic[Q, A]):
    """Gathers questions of one kind to one server, with one batch in flight at a time.

    With a second one in flight both would be half as large, and cost more together than they save in waiting.

    Args:
        pool: The server.
        kind: What the questions are called in the metrics.
    """

    def __init__(self, pool: Pool, kind: str) -> None:
        self._sticky = StickyConnection(pool)
        self._labels = {"operation": kind}
        self._room = asyncio.Semaphore(_MOST_WAITING)
        self._queue: deque[Waiting[Q, A]] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def ask(self, question: Q, *, is_bound: bool = False) -> A:
        """Have one question answered. While very many wait, its caller waits before it does.

        Args:
            question: The question.
            is_bound: Whether it goes on by itself when its caller gives up. If not, one that was not sent yet is
                withdrawn.

        Raises:
            EventStoreError: It has no answer.
        """
        await self._room.acquire()
        try:
            waiting: Waiting[Q, A] = Waiting(question, is_bound=is_bound)
            self._queue.append(waiting)
            if self._sender is None:
                # It begins in the next turn of the loop: whoever asks in this one comes along.
                self._sender = asyncio.create_task(self._send_all())
            try:
                return await waiting.answer
            except asyncio.CancelledError:
                # While nothing is answered, those that were given up must not pile up in the queue.
                if not waiting.is_bound and waiting in self._queue:
                    self._queue.remove(waiting)
                raise
        finally:
            self._room.release()

    async def close(self) -> None:
        """Wait until everything has its answer, also what outlived its caller."""
        while self._sender is not None:
            await asyncio.wait([self._sender])
        await self._sticky.close()

    def _most(self) -> int:
        """Say how many of those that wait now may share a batch."""
        return _LARGEST_BATCH

    @abstractmethod
    def _weigh(self, question: Q) -> tuple[int, int]:
        """Say for how many a question counts in a batch, and how many bytes it has."""

    @abstractmethod
    async def _answer(self, batch: Sequence[Waiting[Q, A]]) -> Sequence[A | None]:
        """Ask a batch, and return its answers, in order; None for a question that is to be asked again.

        Raises:
            InvalidRequest: The server refuses one of the questions. Each half of the batch is asked by itself then.
            Exception: None of them has an answer.
        """

    async def _send_all(self) -> None:
        try:
            while self._queue:
                if batch := self._next_batch():
                    await self._settle(batch)
        finally:
            self._sender = None

    def _next_batch(self) -> list[Waiting[Q, A]]:
        """Take the next questions from the queue, one at least; none if their callers are gone."""
        batch: list[Waiting[Q, A]] = []
        total = total_bytes = 0
        most = self._most()
        while self._queue and len(batch) < most:
            waiting = self._queue[0]
            count, size = self._weigh(waiting.question)
            total, total_bytes = total + count, total_bytes + size
            if batch and (total > _LARGEST_BATCH or total_bytes > _LARGEST_BATCH_BYTES):
                break
            self._queue.popleft()
            if waiting.is_bound or not waiting.answer.done():
                batch.append(waiting)
        return batch

    async def _settle(self, batch: Sequence[Waiting[Q, A]]) -> None:
        try:
            answers = await self._answer(batch)
        except InvalidRequest as error:
            # The one that is refused must not fail its neighbours: halve until it stands alone.
            if len(batch) == 1:
                self._refuse(batch, error)
            else:
                middle = len(batch) // 2
                await self._settle(batch[:middle])
                await self._settle(batch[middle:])
        except Exception as error:  # noqa: BLE001  whatever it is, every caller must get an answer
            self._refuse(batch, error)
        else:
            again = []
            for waiting, answer in zip(batch, answers, strict=True):
                if answer is None:
                    again.append(waiting)
                elif not waiting.answer.done():
                    waiting.answer.set_result(answer)
            self._queue.extendleft(reversed(again))

    def _refuse(self, batch: Sequence[Waiting[Q, A]], error: Exception) -> None:
        """Deal with a batch that has no answers."""
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_exception(self._failure(waiting.question, error).copy_for_caller())

    def _failure(self, _question: Q, error: Exception) -> EventStoreError:
        """Return what the caller of a question is told that has no answer."""
        if isinstance(error, EventStoreError):
            return error
        return EventStoreError(f"the event store failed unexpectedly: {error!r}")

    def _note_sending(self, count: int, since: float) -> None:
        batch_size.record(count, self._labels)
        queue_wait.record(perf_counter() - since, self._labels)
