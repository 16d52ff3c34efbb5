"""The event store in memory: the executable specification, and what pure tests run on."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from msgspec import structs

from eventstore.append import Append, check_chain
from eventstore.arguments import check_batch_size, check_limit
from eventstore.boundary import Boundary, BoundaryPart
from eventstore.errors import (
    ChainBroken,
    ConcurrencyConflict,
    EventStoreError,
    HistoryDiverged,
    IdempotencyKeyReused,
    PositionNotReached,
)
from eventstore.events import Event, RecordedEvent
from eventstore.filter import Filter
from eventstore.held import Held
from eventstore.jsontext import canonical, decode_object
from eventstore.memory_hold import MemoryHold, held
from eventstore.position import START, Position
from eventstore.question import Question
from eventstore.receipt import ACCEPTED, Outcome, Receipt, answers_scope, check_scope
from eventstore.stored_state import StateKey, StoredState
from eventstore.stream import Consistency, EventStream, Window
from eventstore.subject_key import SUBJECT_FORGOTTEN, Forgetting, Subject, SubjectKey, forgetting_of, subject_forgotten

__all__ = ["MemoryEventStore"]


class MemoryEventStore:
    """An ``EventStore`` that keeps everything in one process and forgets it at the end.

    Every operation runs without interruption between its first look and its last write, so that appends take their
    turns one by one, as they do on PostgreSQL under the store's lock. Whoever holds the lock itself keeps them waiting.
    """

    def __init__(self) -> None:
        self._events: list[RecordedEvent] = []
        self._receipts: dict[tuple[UUID, str], tuple[bytes, Receipt]] = {}
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
        """See ``EventStore.query_many``. Memory does not come further by waiting, so it does not wait."""
        question = Question.of(filters, after=after, known=known, most=most, min_position=min_position)
        if not question.filters:
            return []
        self._check_reached(question.least)
        return self._answered(question)

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
            if (repeated := self._repeated(append)) is not None:
                return repeated
            self._check(append.parts)
            receipt = self._record(append)
        await self._tell()
        return receipt

    async def append_chain(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        """See ``EventStore.append_chain``."""
        check_chain(appends)
        async with self._lock:
            found = self._chained(appends)
        await self._tell()
        return found

    @asynccontextmanager
    async def exclusive(self, *, limit: float = 0.25, patience: float = 1.0) -> AsyncIterator[Held]:
        """See ``EventStore.exclusive``."""
        async with held(self._lock, self._hold, limit=limit, patience=patience) as hold:
            yield hold
        await self._tell()

    def _hold(self) -> MemoryHold:
        return MemoryHold(self._lock, self._head(), self._answered, self._chained)

    def _answered(self, question: Question) -> list[EventStream]:
        head = self._head()
        for position in question.positions:
            self._check_history(position)
        return [self._stream(each, head, question.most) for each in question.filters]

    async def _tell(self) -> None:
        async with self._grown:
            self._grown.notify_all()

    def _chained(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        before = len(self._events)
        missing: list[Event] = []
        keys: set[tuple[UUID | None, str]] = set()
        found: list[Receipt | EventStoreError] = []
        for append in appends:
            repeats = (append.key, append.scope) in keys
            keys.add((append.key, append.scope))
            try:
                answer = self._judged(append, before, missing, repeats=repeats)
            except EventStoreError as error:
                found.append(error)
            else:
                found.append(answer)
                if not answer.duplicate:
                    continue
            missing.extend(append.events)
        return found

    async def receipt(self, key: UUID, *, scope: str = "", digest: bytes | None = None) -> Receipt | None:
        """See ``EventStore.receipt``."""
        found = (await self.receipts([key], scope=scope)).get(key)
        if found is not None and digest is not None and self._receipts[key, found.scope][0] != digest:
            return None
        return found

    async def receipts(self, keys: Sequence[UUID], *, scope: str = "") -> dict[UUID, Receipt]:
        """See ``EventStore.receipts``."""
        check_scope(scope)
        return {
            key: receipt
            for key in keys
            for stored in ("", scope)
            if (receipt := self._stored(key, stored)) is not None and answers_scope(receipt, scope)
        }

    async def receipts_of(self, key: UUID) -> list[Receipt]:
        """See ``EventStore.receipts_of``."""
        return [receipt for identity, (_, receipt) in sorted(self._receipts.items()) if identity[0] == key]

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
            self._check_reached(position.number)
            self._check_history(position)
        for event in tuple(self._matching(boundary, above=(after or START).number)):
            if up_to is not None and event.sequence_number > up_to:
                return
            yield _copy(event)

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
        matching = self._matching(boundary, above=0)
        found = [event for event in matching if up_to is None or event.sequence_number <= up_to][-limit:]
        return EventStream(events=tuple(map(_copy, found)), position=self._head())

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
            if (head := self._head()).number >= seen.number:
                self._check_history(seen)
                if head != seen:
                    found = self._matching(boundary, above=max(seen.number, boundary.above))
                    seen = head
                    yield Window(events=tuple(map(_copy, found)), position=head, head=head)
            async with self._grown:
                while (head := self._head()) == seen or head.number < seen.number:
                    await self._grown.wait()

    async def stored_states(
        self, keys: Sequence[StateKey], *, consistency: Consistency = Consistency.EVENTUAL
    ) -> list[StoredState | None]:
        """See ``EventStore.stored_states``."""
        return [self._states.get(key) for key in keys]

    async def store_state(self, state: StoredState) -> None:
        """See ``EventStore.store_state``."""
        if not self._is_in_history(state.position):
            return
        unseen = self._events[state.position.number :]
        if state.sensitive and any(event.type == SUBJECT_FORGOTTEN for event in unseen):
            return
        present = self._states.get(state.key)
        if (
            present is None
            or present.position.number <= state.position.number
            or not self._is_in_history(present.position)
        ):
            self._states[state.key] = replace(state, written_at=datetime.now(UTC))

    async def make_subject_keys(self, proposed: Sequence[SubjectKey]) -> list[SubjectKey]:
        """See ``EventStore.make_subject_keys``."""
        return [self._keys.setdefault(key.subject, key) for key in proposed]

    async def subject_keys(self, ids: Sequence[UUID]) -> dict[UUID, SubjectKey]:
        """See ``EventStore.subject_keys``."""
        return {key.id: key for key in self._keys.values() if key.id in ids}

    async def forget(self, subject: Subject) -> Forgetting:
        """Forget a subject: delete its key and what states may show of it, and record that as an event.

        On PostgreSQL an administrator does so, by ``eventstore.postgres.forget``.
        """
        async with self._lock:
            earlier = self._matching(Filter((forgetting_of(subject),)), above=0)
            before = earlier[-1].sequence_number if earlier else None
            if self._keys.pop(subject, None) is None:
                return Forgetting(number=None, before=before)
            dropped = [key for key, state in self._states.items() if state.sensitive]
            for key in dropped:
                del self._states[key]
            self._record(Append(events=[subject_forgotten(subject)]))
            done = Forgetting(number=len(self._events), states=len(dropped), before=before)
        await self._tell()
        return done

    async def all_receipts(self, *, batch_size: int = 1000) -> AsyncIterator[Receipt]:
        """See ``EventStore.all_receipts``."""
        check_batch_size(batch_size)
        for identity in sorted(self._receipts):
            yield self._receipts[identity][1]

    def _head(self) -> Position:
        return self._events[-1].position if self._events else START

    def _stream(self, boundary: Filter, head: Position, most: int | None) -> EventStream:
        found = self._matching(boundary, above=boundary.above)
        if most is not None and len(found) > most:
            return EventStream(events=(), position=head, complete=False)
        return EventStream(events=tuple(map(_copy, found)), position=head)

    def _matching(self, boundary: Filter, *, above: int) -> list[RecordedEvent]:
        return [event for event in self._events[above:] if boundary.holds(event)]

    def _repeated(self, append: Append) -> Receipt | None:
        if append.key is None:
            return None
        for scope in (append.scope, ""):
            if (stored := self._receipts.get((append.key, scope))) is None:
                continue
            digest, receipt = stored
            # One without a scope is from before there were any: where it names no domain, its digest tells.
            named = receipt.outcome.details.get("domain") is not None
            if not (answers_scope(receipt, append.scope) or (digest == append.digest and not named)):
                continue
            if digest != append.digest:
                raise IdempotencyKeyReused(append.key)
            return receipt.as_duplicate()
        return None

    def _stored(self, key: UUID, scope: str) -> Receipt | None:
        stored = self._receipts.get((key, scope))
        return None if stored is None else stored[1]

    def _is_in_history(self, position: Position) -> bool:
        at = self._events[position.number - 1].position if 0 < position.number <= len(self._events) else START
        return at == position

    def _check_reached(self, number: int) -> None:
        if len(self._events) < number:
            raise PositionNotReached(f"the log ends at {len(self._events)}, before {number}")

    def _check_history(self, position: Position) -> None:
        if not self._is_in_history(position):
            raise HistoryDiverged(f"position {position} is not in this store's history")

    def _check(self, parts: Sequence[BoundaryPart], *, up_to: int | None = None) -> None:
        for part in parts:
            for position in part.positions:
                self._check_history(position)
        unseen = [
            (event.sequence_number, place)
            for place, part in enumerate(parts)
            for event in self._matching(part.filter, above=part.after.number)
            if not part.saw(event.sequence_number) and (up_to is None or event.sequence_number <= up_to)
        ]
        if unseen:
            number, place = min(unseen)
            event = _copy(self._events[number - 1])
            raise ConcurrencyConflict(
                sequence_number=number,
                event_type=event.type,
                metadata=event.metadata,
                part=place,
                unseen=self._unseen([found for found, _ in unseen]) if len(parts) == 1 and up_to is None else None,
            )

    def _unseen(self, numbers: Sequence[int]) -> EventStream:
        events = tuple([_copy(self._events[number - 1]) for number in numbers])
        return EventStream(events=events, position=self._head())

    def _judged(self, append: Append, before: int, missing: Sequence[Event], *, repeats: bool) -> Receipt:
        """Judge a member of a chain.

        Args:
            append: The member.
            before: How many events there were before the chain.
            missing: The events of earlier members that were not recorded.
            repeats: Whether an earlier member has the same key.
        """
        if (repeated := self._repeated(append)) is not None:
            return repeated
        if repeats:
            raise ChainBroken("an earlier append with the same key was not recorded")
        self._check(append.parts, up_to=before)
        if any(part.filter.holds_pending(event) for part in append.parts for event in missing):
            raise ChainBroken("an earlier append that this one was decided on was not recorded")
        return self._record(append)

    def _record(self, append: Append) -> Receipt:
        token = secrets.randbits(62)
        first = len(self._events) + 1
        self._events.extend(event.recorded(number, token) for number, event in enumerate(append.events, start=first))
        receipt = Receipt(
            key=append.key,
            outcome=append.outcome,
            first=first if append.events else None,
            last=len(self._events) if append.events else None,
            position=self._head(),
            recorded_at=datetime.now(UTC) if append.key else None,
            scope=append.scope,
        )
        if append.key is not None and append.digest is not None:
            self._receipts[append.key, append.scope] = (append.digest, receipt)
        return receipt


def _copy(event: RecordedEvent) -> RecordedEvent:
    """Whoever is given an event may do what they like with its objects; the record stays."""
    return structs.replace(
        event,
        payload=decode_object(canonical(event.payload)),
        metadata=decode_object(canonical(event.metadata)),
    )
