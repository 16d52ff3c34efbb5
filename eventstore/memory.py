"""The in-memory event store: the executable specification, and the engine of pure tests."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from eventstore.append import Append, check_chain
from eventstore.arguments import check_batch_size, check_limit
from eventstore.boundary import Boundary
from eventstore.errors import (
    EventStoreError,
)
from eventstore.events import Event, RecordedEvent
from eventstore.filter import Filter
from eventstore.held import Held
from eventstore.memory_hold import MemoryHold, held
from eventstore.memory_log import MemoryLog, copy_of, new_token
from eventstore.position import START, Position
from eventstore.question import Question
from eventstore.receipt import ACCEPTED, Outcome, Receipt, answers_scope, check_scope
from eventstore.stored_state import StateKey, StoredState
from eventstore.stream import Consistency, EventStream, Window
from eventstore.subject_key import SUBJECT_FORGOTTEN, Forgetting, Subject, SubjectKey, forgetting_of, subject_forgotten

__all__ = ["MemoryEventStore"]


class MemoryEventStore:
    """An ``EventStore`` that keeps everything in memory; it is gone when the process ends.

    Every operation runs without interruption from its first read to its last write, so appends are serialized, as they
    are on PostgreSQL by the store's lock. Appends wait while a caller holds the lock by ``exclusive``.
    """

    def __init__(self) -> None:
        self._log = MemoryLog()
        self._states: dict[StateKey, StoredState] = {}
        self._keys: dict[Subject, SubjectKey] = {}
        self._grown = asyncio.Condition()
        self._lock = asyncio.Lock()

    async def query(
        self,
        boundary: Filter,
        *,
        consistency: Consistency = Consistency.STRONG,
        min_position: Position | None = None,
    ) -> EventStream:
        """See ``EventStore.query``."""
        (stream,) = await self.query_many([boundary], min_position=min_position)
        return stream

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
        """See ``EventStore.query_many``. The log cannot grow during a wait, so it raises at once."""
        question = Question.of(filters, after=after, known=known, most=most, min_position=min_position)
        if not question.filters:
            return []
        self._log.check_reached(question.least)
        return self._log.answered(question)

    async def position(self, *, consistency: Consistency = Consistency.STRONG) -> Position:
        """See ``EventStore.position``."""
        return self._log.head()

    async def append(
        self,
        events: Sequence[Event],
        *,
        boundary: Boundary | None = None,
        after: Position | None = None,
        key: UUID | None = None,
        scope: str = "",
        digest: bytes | None = None,
        outcome: Outcome = ACCEPTED,
    ) -> Receipt:
        """See ``EventStore.append``."""
        append = Append(
            events=events, boundary=boundary, after=after, key=key, scope=scope, digest=digest, outcome=outcome
        )
        async with self._lock:
            if (repeated := self._log.repeated(append)) is not None:
                return repeated
            self._log.check(append.parts)
            receipt = self._log.record(append, new_token())
        await self._tell()
        return receipt

    async def append_chain(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        """See ``EventStore.append_chain``."""
        check_chain(appends)
        async with self._lock:
            found = self._log.chained(appends)
        await self._tell()
        return found

    @asynccontextmanager
    async def exclusive(self, *, limit: float = 0.25, patience: float = 1.0) -> AsyncIterator[Held]:
        """See ``EventStore.exclusive``."""
        async with held(self._lock, self._hold, limit=limit, patience=patience) as hold:
            yield hold
        await self._tell()

    def _hold(self) -> MemoryHold:
        return MemoryHold(self._lock, self._log)

    async def _tell(self) -> None:
        async with self._grown:
            self._grown.notify_all()

    async def receipt(self, key: UUID, *, scope: str = "", digest: bytes | None = None) -> Receipt | None:
        """See ``EventStore.receipt``."""
        found = (await self.receipts([key], scope=scope)).get(key)
        if found is not None and digest is not None and self._log.receipts[key, found.scope][0] != digest:
            return None
        return found

    async def receipts(self, keys: Sequence[UUID], *, scope: str = "") -> dict[UUID, Receipt]:
        """See ``EventStore.receipts``."""
        check_scope(scope)
        return {
            key: receipt
            for key in keys
            for stored in ("", scope)
            if (receipt := self._log.stored(key, stored)) is not None and answers_scope(receipt, scope)
        }

    async def receipts_of(self, key: UUID) -> list[Receipt]:
        """See ``EventStore.receipts_of``."""
        return [receipt for identity, (_, receipt) in sorted(self._log.receipts.items()) if identity[0] == key]

    async def read(
        self,
        boundary: Filter,
        *,
        after: Position | None = None,
        up_to: int | None = None,
        min_position: Position | None = None,
        batch_size: int = 1000,
        consistency: Consistency = Consistency.STRONG,
    ) -> AsyncIterator[RecordedEvent]:
        """See ``EventStore.read``."""
        check_batch_size(batch_size)
        for position in (after or START, min_position or START):
            self._log.check_reached(position.number)
            self._log.check_history(position)
        for event in tuple(self._log.matching(boundary, above=(after or START).number, up_to=up_to)):
            yield copy_of(event)

    async def latest(
        self,
        boundary: Filter,
        *,
        limit: int,
        up_to: int | None = None,
        consistency: Consistency = Consistency.STRONG,
    ) -> EventStream:
        """See ``EventStore.latest``."""
        check_limit(limit)
        found = self._log.matching(boundary, above=self._log.archive.last, up_to=up_to)
        if len(found) < limit:
            found = self._log.matching(boundary, above=0, up_to=up_to)
        return EventStream(events=tuple(map(copy_of, found[-limit:])), position=self._log.head())

    async def subscribe(
        self,
        boundary: Filter,
        *,
        after: Position | None = None,
        batch_size: int = 1000,
        consistency: Consistency = Consistency.EVENTUAL,
    ) -> AsyncIterator[RecordedEvent]:
        """See ``EventStore.subscribe``."""
        async for window in self.follow(boundary, after=after, batch_size=batch_size, consistency=consistency):
            for event in window.events:
                yield event

    async def follow(
        self,
        boundary: Filter,
        *,
        after: Position | None = None,
        batch_size: int = 1000,
        consistency: Consistency = Consistency.EVENTUAL,
    ) -> AsyncIterator[Window]:
        """See ``EventStore.follow``."""
        check_batch_size(batch_size)
        seen = after or START
        while True:
            if (head := self._log.head()).number >= seen.number:
                self._log.check_history(seen)
                if head != seen:
                    found = self._log.matching(boundary, above=max(seen.number, boundary.above))
                    seen = head
                    yield Window(events=tuple(map(copy_of, found)), position=head, head=head)
            async with self._grown:
                while (head := self._log.head()) == seen or head.number < seen.number:
                    await self._grown.wait()

    async def stored_states(
        self, keys: Sequence[StateKey], *, consistency: Consistency = Consistency.EVENTUAL
    ) -> list[StoredState | None]:
        """See ``EventStore.stored_states``."""
        return [self._states.get(key) for key in keys]

    async def store_state(self, state: StoredState) -> None:
        """See ``EventStore.store_state``."""
        if not self._log.is_in_history(state.position):
            return
        unseen = self._log.events[state.position.number :]
        if state.sensitive and any(event.type == SUBJECT_FORGOTTEN for event in unseen):
            return
        present = self._states.get(state.key)
        if (
            present is None
            or present.position.number <= state.position.number
            or not self._log.is_in_history(present.position)
        ):
            self._states[state.key] = replace(state, written_at=datetime.now(UTC))

    async def make_subject_keys(self, proposed: Sequence[SubjectKey]) -> list[SubjectKey]:
        """See ``EventStore.make_subject_keys``."""
        return [self._keys.setdefault(key.subject, key) for key in proposed]

    async def subject_keys(self, ids: Sequence[UUID]) -> dict[UUID, SubjectKey]:
        """See ``EventStore.subject_keys``."""
        return {key.id: key for key in self._keys.values() if key.id in ids}

    async def forget(self, subject: Subject) -> Forgetting:
        """Forget a subject: delete its key and all sensitive states, and record an event that says so.

        On PostgreSQL, an administrator does this with ``eventstore.postgres.forget``.
        """
        async with self._lock:
            earlier = self._log.matching(Filter((forgetting_of(subject),)), above=0)
            before = earlier[-1].sequence_number if earlier else None
            if self._keys.pop(subject, None) is None:
                return Forgetting(number=None, before=before)
            dropped = [key for key, state in self._states.items() if state.sensitive]
            for key in dropped:
                del self._states[key]
            self._log.record(Append(events=[subject_forgotten(subject)]), new_token())
            done = Forgetting(number=len(self._log.events), states=len(dropped), before=before)
        await self._tell()
        return done

    async def archive(self, last: int) -> None:
        """Archive the events up to a sequence number that are not archived yet; they can no longer be read.

        On PostgreSQL, an administrator does this with ``eventstore.postgres.archive``.
        """
        async with self._lock:
            self._log.archive.add(self._log.events[self._log.archive.last : last])

    async def restore_archive(self) -> None:
        """Restore the range that was archived last."""
        async with self._lock:
            self._log.archive.remove()

    async def all_receipts(self, *, batch_size: int = 1000) -> AsyncIterator[Receipt]:
        """See ``EventStore.all_receipts``."""
        check_batch_size(batch_size)
        for identity in sorted(self._log.receipts):
            yield self._log.receipts[identity][1]
