"""A memory store with every kind of fault: lag, other writers, late and lost answers, split chains, failovers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from eventstore import (
    Append,
    BoundaryPart,
    Consistency,
    Event,
    EventStoreError,
    EventStream,
    Filter,
    InvalidRequest,
    MemoryEventStore,
    OutcomeUnknown,
    OwnRange,
    Position,
    PositionNotReached,
    Receipt,
    StoreUnavailable,
    TransientStoreError,
)
from eventstore.memory_log import new_token


class StoreBug(Exception):
    """An exception that no store should raise."""


class HostileStore(MemoryEventStore):
    """Answers correctly, at the worst possible moment.

    Args:
        rnd: Chooses the faults.
        strange: Creates an event of another writer.
        faults: Whether operations also fail; otherwise there are only delays, lag and other writers.
    """

    def __init__(self, rnd: Random, strange: Any, *, faults: bool) -> None:
        super().__init__()
        self.rnd = rnd
        self.strange = strange
        self.faults = faults
        self.is_calm = False
        self.refused: set[UUID] = set()
        self.bugs = 0
        self.late: list[asyncio.Task[None]] = []
        self._lock = asyncio.Lock()

    async def query_many(
        self,
        filters: Sequence[Filter],
        *,
        after: Sequence[Position] | None = None,
        known: Sequence[int] = (),
        most: int | None = None,
        consistency: Consistency = Consistency.STRONG,
        min_position: Position | None = None,
    ) -> list[EventStream]:
        await self._pass()
        self._may_be_down()
        server: MemoryEventStore = self
        if consistency is Consistency.EVENTUAL and self._chance(0.6):
            replica = MemoryEventStore()
            replica._log.events = self._log.events[: max(0, len(self._log.events) - self.rnd.randrange(12))]
            server = replica
        read = MemoryEventStore.query_many
        try:
            streams = await read(server, filters, after=after, known=known, most=most, min_position=min_position)
        except PositionNotReached:
            if server is self:
                raise
            # A replica that has not reached the position is skipped.
            server = self
            streams = await read(self, filters, after=after, known=known, most=most, min_position=min_position)
        await self._pass()
        return [replace(stream, replica=server is not self) for stream in streams]

    async def receipts(self, keys: Sequence[UUID], *, scope: str = "") -> dict[UUID, Receipt]:
        await self._pass()
        self._may_be_down()
        return await super().receipts(keys, scope=scope)

    async def append_chain(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        await self._pass()
        await self._unlocked()
        if self.faults and not self.is_calm:
            fate = self.rnd.random()
            if fate < 0.04:
                raise StoreUnavailable("it is down")
            if fate < 0.06:
                self.bugs += 1
                raise StoreBug("nobody has thought of this")
            if fate < 0.08:
                raise OutcomeUnknown("it never came there")
            if fate < 0.11:
                self._transaction(appends)
                await self._pass()
                raise OutcomeUnknown("it came there, and its answer did not come here")
            if fate < 0.13:
                self.late.append(asyncio.create_task(self._append_late(appends)))
                raise OutcomeUnknown("it will come there after a while")
        found = self._split(appends) if self.faults and self._chance(0.06) else self._transaction(appends)
        # Recorded, but not answered yet: others read and record meanwhile.
        await self._pass()
        return found

    @asynccontextmanager
    async def exclusive(self, *, limit: float = 0.25, patience: float = 1.0) -> AsyncIterator[Any]:  # noqa: ARG002  the protocol's signature
        async with self._lock:
            if self.faults and self._chance(0.2):
                raise TransientStoreError("the lock was not had")
            yield Held(self)

    def come_in(self) -> None:
        """Record an event of another writer."""
        if not self._lock.locked():
            self._log.record(Append(events=[self.strange()]), new_token())

    def fail_over(self) -> None:
        """Continue with a standby that lacks the last events and receipts."""
        if self._lock.locked():
            return
        lost = min(len(self._log.events), self.rnd.randrange(1, 8))
        self._log.events = self._log.events[: len(self._log.events) - lost]
        self._log.receipts = {
            key: stored for key, stored in self._log.receipts.items() if self._log.is_in_history(stored[1].position)
        }
        if self.rnd.random() < 0.5:
            # Other writers take the lost numbers, so that the next event of a worker follows those that it knows of.
            for _ in range(lost):
                self.come_in()

    async def settle(self) -> None:
        """Stop all faults, and let operations in flight finish."""
        self.is_calm = True
        await asyncio.gather(*self.late)

    async def _append_late(self, appends: Sequence[Append]) -> None:
        for _ in range(self.rnd.randrange(1, 25)):
            await asyncio.sleep(0)
        await self._unlocked()
        self._transaction(appends)

    def _transaction(
        self, appends: Sequence[Append], missing: list[Event] | None = None, own: OwnRange | None = None
    ) -> list[Receipt | EventStoreError]:
        before, token = len(self._log.events), new_token()
        missing = [] if missing is None else missing
        found: list[Receipt | EventStoreError] = []
        seen: set[UUID | None] = set()
        for append in appends:
            asked = append
            if own is not None and append.parts:
                asked = append.with_parts(_with(part, own) for part in append.parts)
            try:
                answer = self._log.judged(asked, before, missing, token, repeats=append.key in seen)
            except EventStoreError as error:
                found.append(error)
                missing.extend(append.events)
            else:
                found.append(answer)
                if answer.duplicate:
                    missing.extend(append.events)
            seen.add(append.key)
        return found

    def _split(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        """Refuse a member for its values; the members before and after it are recorded in separate transactions."""
        culprit = self.rnd.randrange(len(appends))
        if appends[culprit].key is None or (appends[culprit].key, appends[culprit].scope) in self._log.receipts:
            return self._transaction(appends)
        missing: list[Event] = []
        first = len(self._log.events) + 1
        found = self._transaction(appends[:culprit], missing)
        own = None
        if len(self._log.events) >= first:
            own = OwnRange(first=first, last=self._log.events[-1].position)
        if self._chance(0.5):
            self.come_in()
        found.append(InvalidRequest("the database refuses a value"))
        key = appends[culprit].key
        assert key is not None
        self.refused.add(key)
        missing.extend(appends[culprit].events)
        return found + self._transaction(appends[culprit + 1 :], missing, own)

    async def _unlocked(self) -> None:
        async with self._lock:
            pass

    async def _pass(self) -> None:
        """Let time pass, while others may record events."""
        for _ in range(self.rnd.choice((0, 0, 1, 2, 5))):
            if self._chance(0.12):
                self.come_in()
            await asyncio.sleep(0)

    def _may_be_down(self) -> None:
        if self.faults and self._chance(0.02):
            raise StoreUnavailable("it is down")

    def _chance(self, share: float) -> bool:
        return not self.is_calm and self.rnd.random() < share


class Held:
    """The store, for the holder of its lock."""

    def __init__(self, store: HostileStore) -> None:
        self._store = store

    async def query_many(self, filters: Sequence[Filter], **options: Any) -> list[EventStream]:
        await asyncio.sleep(0)
        return await MemoryEventStore.query_many(self._store, filters, **options)

    async def append_chain(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        await asyncio.sleep(0)
        found = self._store._transaction(appends)
        if self._store.faults and self._store._chance(0.1):
            raise OutcomeUnknown("the connection broke with the lock")
        return found


def _with(part: BoundaryPart, own: OwnRange) -> BoundaryPart:
    return replace(part, besides=(*part.besides, own))
