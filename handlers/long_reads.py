"""The long reads: histories that are not held in memory, folded as they come, one at a time, whoever asks for them."""

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

# How many events are folded without a pause: others on the loop wait for so long.
_BREATH = 50


class _ShowsForgotten(Exception):
    """Raised by ``LongReads._read_on``."""


class LongReads:
    """Reads the long histories of one domain's parts. Whoever wants the same part waits for one read.

    Args:
        store: Where the events are.
        domain: Whose parts they are.
        kept: What is known already, and what is learned.
        folding: Folds the events.
        storage: Has states stored that are due.
        one_at_a_time: Held during a read; several readers of a process share one.
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
        """Fold a long history as it comes, and keep its state. Whoever asks for it meanwhile gets the same.

        Args:
            part: The part.
            known: What is known of it, as ``Glance.long`` says.
            up_to: How far the log was.
            consistency: Whether a replica may answer.
            running: Entered whenever the domain's own code runs.

        Raises:
            EventStoreError: As ``EventStore.read``.
            UnknownEventType, UnreadableEvent: As ``Domain.recorded``.
            Exception: Whatever the view raises.

        On cancellation the read goes on if others wait for it.
        """
        task = self._reading.get(part)
        if task is None:
            task = asyncio.create_task(self._read(part, known, up_to, consistency, running))
            self._reading[part] = task
            task.add_done_callback(partial(self._ended, part))
        try:
            # Shielded: the others wait for it as well.
            return await asyncio.shield(task)
        except EventStoreError as error:
            raise error.copy_for_caller() from error
        except asyncio.CancelledError:
            asking = asyncio.current_task()
            if task.cancelled() and asking is not None and not asking.cancelling():
                raise StoreUnavailable("the reader was closed during a long read") from None
            raise

    async def close(self) -> None:
        """End all of them; whoever waits for one is told."""
        for task in self._reading.values():
            task.cancel()
        await asyncio.gather(*self._reading.values(), return_exceptions=True)

    def _ended(self, part: Part[Any], task: asyncio.Task[KeptState]) -> None:
        self._reading.pop(part, None)
        if not task.cancelled():
            task.exception()  # looked at, if nobody waits for it any more

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
        """Fold what is new of a part; return its state, and its last event.

        Raises:
            _ShowsForgotten: What is known was folded from values whose subject is forgotten in what is new.
        """
        kept = known
        may_show = self._folding.may_show_forgotten(part, known)
        keys = NO_KEYS
        batch: list[RecordedEvent] = []
        last: RecordedEvent | None = None
        # Whoever answers must be as far as the snapshot was that told of it, in the same history.
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
                # The keys were looked up after the log was as far as is read here.
                keys = await self._folding.keys_of(batch, keys)
                kept, last = self._folding.folded(part, kept, batch, running, keys)
                batch.clear()
                await asyncio.sleep(0)
        if batch:
            keys = await self._folding.keys_of(batch, keys)
            kept, last = self._folding.folded(part, kept, batch, running, keys)
        return kept, last
