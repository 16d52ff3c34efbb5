"""The in-memory store's lock, and the operations of the caller that holds it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from eventstore.append import Append, check_chain
from eventstore.arguments import check_held_read, check_hold
from eventstore.errors import EventStoreError, HoldExpired, InvalidRequest, LockNotAcquired
from eventstore.filter import Filter
from eventstore.memory_log import MemoryLog
from eventstore.position import Position
from eventstore.question import Question
from eventstore.receipt import Receipt
from eventstore.stream import EventStream

__all__ = ["MemoryHold", "held"]


class MemoryHold:
    """A ``Held`` of the in-memory store; the caller has acquired the lock.

    Attributes:
        position: The head of the log when the lock was acquired.

    Args:
        lock: The acquired lock; it is released exactly once.
        log: The log that is read and appended to.
    """

    def __init__(self, lock: asyncio.Lock, log: MemoryLog) -> None:
        self.position = log.head()
        self._lock = lock
        self._log = log
        self._holds = True
        self._used = False

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
        return self._log.answered(question)

    async def append_chain(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        """See ``Held.append_chain``."""
        check_chain(appends)
        self._check()
        self._used = True
        try:
            return self._log.chained(appends)
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Release the lock if it is held; later operations raise."""
        if self._holds:
            self._holds = False
            self._lock.release()

    def _check(self) -> None:
        if self._used:
            raise InvalidRequest("the lock was released by the append: take it again")
        if not self._holds:
            raise HoldExpired("the lock was held for longer than it may be; nothing is recorded")


@asynccontextmanager
async def held(
    lock: asyncio.Lock, make: Callable[[], MemoryHold], *, limit: float, patience: float
) -> AsyncIterator[MemoryHold]:
    """Hold a lock for at most ``limit`` seconds; see ``EventStore.exclusive``."""
    check_hold(limit, patience)
    try:
        async with asyncio.timeout(patience):
            await lock.acquire()
    except TimeoutError:
        raise LockNotAcquired(f"the lock was not free within {patience} s") from None
    hold = make()
    ending = asyncio.get_running_loop().call_later(limit, hold.let_go)
    try:
        yield hold
    finally:
        ending.cancel()
        hold.let_go()
