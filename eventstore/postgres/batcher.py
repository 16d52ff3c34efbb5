"""Batches: requests that wait while one batch is in flight share the next.

The fixed cost of a round trip and of a commit exceeds the cost of most requests. There is no timer: an idle store sends
at once, and a busy one accumulates a batch by itself.
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

# The number of requests that wait or are in flight: eight batches. Further callers wait for a place, in order.
_MOST_WAITING = 1024
_LARGEST_BATCH = 128
_LARGEST_BATCH_BYTES = 1_000_000

Q = TypeVar("Q")
A = TypeVar("A")


class Waiting(Generic[Q, A]):
    """One caller's request and its pending answer.

    Attributes:
        question: The request.
        answer: The future that receives the answer.
        since: When the request was queued, by ``perf_counter``, in seconds.
        is_bound: Whether the request is sent even if its caller is cancelled.
    """

    __slots__ = ("answer", "is_bound", "question", "since")

    def __init__(self, question: Q, *, is_bound: bool) -> None:
        self.question = question
        self.answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self.since = perf_counter()
        self.is_bound = is_bound


class Batcher(ABC, Generic[Q, A]):
    """Collects requests of one kind to one server and sends one batch at a time.

    With a second batch in flight each would be half as large, and their added cost would exceed the saved wait.

    Args:
        pool: The connection pool of the server.
        kind: The metric label ``operation`` of the requests.
    """

    def __init__(self, pool: Pool, kind: str) -> None:
        self._sticky = StickyConnection(pool)
        self._labels = {"operation": kind}
        self._room = asyncio.Semaphore(_MOST_WAITING)
        self._queue: deque[Waiting[Q, A]] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def ask(self, question: Q, *, is_bound: bool = False) -> A:
        """Answer one request. While the queue is full, the caller waits for a place first.

        Args:
            question: The request.
            is_bound: Whether the request continues when its caller is cancelled. Otherwise it is withdrawn if it has
                not been sent; by default False.

        Raises:
            EventStoreError: The request failed.
        """
        await self._room.acquire()
        try:
            waiting: Waiting[Q, A] = Waiting(question, is_bound=is_bound)
            self._queue.append(waiting)
            if self._sender is None:
                # The task starts in the loop's next iteration: requests made in this one join the batch.
                self._sender = asyncio.create_task(self._send_all())
            try:
                return await waiting.answer
            except asyncio.CancelledError:
                # While no batch completes, cancelled requests must not accumulate in the queue.
                if not waiting.is_bound and waiting in self._queue:
                    self._queue.remove(waiting)
                raise
        finally:
            self._room.release()

    async def close(self) -> None:
        """Wait until every request is answered, also those whose caller was cancelled."""
        while self._sender is not None:
            await asyncio.wait([self._sender])
        await self._sticky.close()

    def _most(self) -> int:
        """Return how many of the waiting requests may share the next batch."""
        return _LARGEST_BATCH

    @abstractmethod
    def _weigh(self, question: Q) -> tuple[int, int]:
        """Return how many requests this one counts for in a batch, and its size in bytes."""

    @abstractmethod
    async def _answer(self, batch: Sequence[Waiting[Q, A]]) -> Sequence[A | None]:
        """Send a batch and return its answers, in order; None for a request that must be sent again.

        Raises:
            InvalidRequest: The server refuses one of the requests. Each half of the batch is then sent by itself.
            Exception: The whole batch failed.
        """

    async def _send_all(self) -> None:
        try:
            while self._queue:
                if batch := self._next_batch():
                    await self._settle(batch)
        finally:
            self._sender = None

    def _next_batch(self) -> list[Waiting[Q, A]]:
        """Take the next requests from the queue; empty if the callers of all that fit were cancelled."""
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
            # A refused request must not fail the others: halve the batch until it is alone.
            if len(batch) == 1:
                self._refuse(batch, error)
            else:
                middle = len(batch) // 2
                await self._settle(batch[:middle])
                await self._settle(batch[middle:])
        except Exception as error:  # noqa: BLE001  every caller must get an answer, whatever the error
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
        """Fail all requests of a batch."""
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_exception(self._failure(waiting.question, error).copy_for_caller())

    def _failure(self, _question: Q, error: Exception) -> EventStoreError:
        """Return the error for the caller of a failed request."""
        if isinstance(error, EventStoreError):
            return error
        return EventStoreError(f"the event store failed unexpectedly: {error!r}")

    def _note_sending(self, count: int, since: float) -> None:
        batch_size.record(count, self._labels)
        queue_wait.record(perf_counter() - since, self._labels)
