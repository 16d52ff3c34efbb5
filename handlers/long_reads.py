"""Long reads: histories that are not held in memory but folded as they stream, one at a time."""

import asyncio
from functools import partial
from typing import Any

from msgspec.structs import replace

from eventstore import (
    SUBJECT_FORGOTTEN,
    Consistency,
    EventStore,
    EventStoreError,
    Position,
    RecordedEvent,
    StoreUnavailable,
)
from handlers.contained import Running
from handlers.domain import Domain
from handlers.folding import NO_KEYS, Folding
from handlers.kept_states import KeptState, StateCache
from handlers.part import Part
from handlers.state_storage import StateStorage

__all__ = ["LongReads"]

# The number of events that are folded without a pause, during which other tasks on the loop wait.
_BREATH = 50


class _ShowsForgotten(Exception):
    """Raised by ``LongReads._read_on``: the state shows values of a subject that is forgotten."""


class LongReads:
    """Reads long histories of one domain's parts. Concurrent requests for the same part share one read.

    Args:
        store: The store that has the events.
        domain: The domain of the parts.
        kept: The cache of states, which is read and updated.
        folding: Folds the events.
        storage: Stores states that are due.
        one_at_a_time: Held during each read; several readers of a process can share it.
    """

    def __init__(
        self,
        store: EventStore,
        domain: Domain,
        kept: StateCache,
        *,
        folding: Folding,
        storage: StateStorage,
        one_at_a_time: asyncio.Lock,
    ) -> None:
        self._store = store
        self._domain = domain
        self._kept = kept
        self._folding = folding
        self._storage = storage
        self._one_at_a_time = one_at_a_time
        self._reading: dict[Part[Any], asyncio.Task[KeptState]] = {}

    async def read(
        self,
        part: Part[Any],
        known: KeptState,
        up_to: Position,
        *,
        consistency: Consistency,
        running: Running,
    ) -> KeptState:
        """Fold a long history as it streams, and keep its state. Concurrent requests for the part share the result.

        Args:
            part: The part.
            known: The state of the part before, as in ``Glance.long``.
            up_to: The head of the log, up to which is read.
            consistency: Whether a replica may answer.
            running: Creates the context for each call of the domain's own code.

        Raises:
            EventStoreError: The store failed, as in ``EventStore.read``.
            UnknownEventType, UnreadableEvent: An event has an unknown type or cannot be read, as in
                ``Domain.recorded``.
            Exception: The view raised an error.

        If the call is cancelled, the read continues for other callers.
        """
        task = self._reading.get(part)
        if task is None:
            task = asyncio.create_task(self._read(part, known, up_to, consistency, running))
            self._reading[part] = task
            task.add_done_callback(partial(self._ended, part))
        try:
            # Shielded: other callers may wait for the same task.
            return await asyncio.shield(task)
        except EventStoreError as error:
            raise error.copy_for_caller() from error
        except asyncio.CancelledError:
            asking = asyncio.current_task()
            if task.cancelled() and asking is not None and not asking.cancelling():
                raise StoreUnavailable("the reader was closed during a long read") from None
            raise

    async def close(self) -> None:
        """Cancel all reads; their callers get ``StoreUnavailable``."""
        for task in self._reading.values():
            task.cancel()
        await asyncio.gather(*self._reading.values(), return_exceptions=True)

    def _ended(self, part: Part[Any], task: asyncio.Task[KeptState]) -> None:
        self._reading.pop(part, None)
        if not task.cancelled():
            task.exception()  # marks the exception as retrieved if no caller waits any more

    async def _read(
        self, part: Part[Any], known: KeptState, up_to: Position, consistency: Consistency, running: Running
    ) -> KeptState:
        async with self._one_at_a_time:
            found = self._kept.find(part)
            if found is not None and found.position.number >= up_to.number:
                return found
            try:
                kept, last = await self._read_on(part, known, up_to, consistency, running)
            except _ShowsForgotten:
                begun = replace(self._folding.begun(part, running), read_at=known.read_at, replica=known.replica)
                kept, last = await self._read_on(part, begun, up_to, consistency, running)
            kept = self._storage.stored_if_due(part, replace(kept, position=up_to), last)
            self._kept.keep(part, kept)
            return kept

    async def _read_on(
        self, part: Part[Any], known: KeptState, up_to: Position, consistency: Consistency, running: Running
    ) -> tuple[KeptState, RecordedEvent | None]:
        """Fold the new events of a part; return its state, and the last event.

        Raises:
            _ShowsForgotten: The state was folded from values of a subject that the new events forget.
        """
        kept = known
        may_show = self._folding.may_show_forgotten(part, known)
        keys = NO_KEYS
        batch: list[RecordedEvent] = []
        last: RecordedEvent | None = None
        # An answering server must have reached the snapshot that found the part long, in the same history.
        events = self._store.read(
            self._domain.sensitive.watched(part),
            after=known.position,
            up_to=up_to.number,
            min_position=up_to,
            consistency=consistency,
        )
        async for event in events:
            if may_show and event.type == SUBJECT_FORGOTTEN:
                raise _ShowsForgotten
            batch.append(event)
            if len(batch) == _BREATH:
                # The keys were looked up after the log had reached ``up_to``.
                keys = await self._folding.keys_of(batch, keys)
                kept, last = self._folding.folded(part, kept, batch, running, keys)
                batch.clear()
                await asyncio.sleep(0)
        if batch:
            keys = await self._folding.keys_of(batch, keys)
            kept, last = self._folding.folded(part, kept, batch, running, keys)
        return kept, last
