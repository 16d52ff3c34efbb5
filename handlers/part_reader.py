"""The part reader: brings the states of parts up to date, from what is kept or stored and what has come since."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Any

from eventstore import (
    START,
    Consistency,
    EventStore,
    EventStoreError,
    HistoryDiverged,
    Position,
    PositionNotReached,
    RecordedEvent,
    StoreUnavailable,
)
from handlers.domain import Domain
from handlers.kept_states import KeptState, KeptStates
from handlers.part import Part
from handlers.state_storage import StateStorage

__all__ = ["LONGEST_AT_ONCE", "PartReader", "PartsRead", "Running"]

LONGEST_AT_ONCE = 1000
"""How many events of one part are held in memory at once; a longer history is folded as it streams."""

# How many events are folded without a pause: others on the loop wait for so long.
_BREATH = 50

Running = Callable[[], AbstractContextManager[None]]
"""Entered whenever a domain's own code runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsRead:
    """What parts are known to be.

    Attributes:
        states: Each part's state with its position.
        position: How far the log was in the last snapshot that was read; the start if none was.
        replica: Whether a replica answered.
        events: How many events were read.
    """

    states: Mapping[Part[Any], KeptState]
    position: Position = START
    replica: bool = False
    events: int = 0


class PartReader:
    """Reads parts of one domain.

    A short history is read together with those of the other parts, from one snapshot. A long one is read by itself and
    folded as it comes, one at a time, whoever asks for it; whoever wants the same part waits for that read.

    Args:
        store: Where the events are.
        domain: Whose parts they are.
        kept: What is known already, and what is learned.
        long_reads: Held during a long read; several readers of a process share one.
    """

    def __init__(
        self, store: EventStore, domain: Domain, kept: KeptStates, *, long_reads: asyncio.Lock | None = None
    ) -> None:
        self._store = store
        self._domain = domain
        self._kept = kept
        self._long_reads = long_reads if long_reads is not None else asyncio.Lock()
        self._storage = StateStorage(store, domain)
        self._streaming: dict[Part[Any], asyncio.Task[KeptState]] = {}

    async def read(
        self,
        parts: Sequence[Part[Any]],
        *,
        consistency: Consistency,
        min_position: Position | None = None,
        running: Running = nullcontext,
    ) -> PartsRead:
        """Bring the states of parts up to date, and keep them.

        Args:
            parts: Which, each once.
            consistency: Whether a replica may answer.
            min_position: The states must be at least this far, in the same history.
            running: Entered whenever the domain's own code runs.

        Raises:
            HistoryDiverged: What is kept or asked for lies in another history. Everything kept is forgotten.
            PositionNotReached: The log ends before what is kept or asked for. Everything kept is forgotten.
            UnknownEventType, UnreadableEvent: As ``Domain.recorded``.
            Exception: Whatever a view raises.
        """
        if not parts:
            return PartsRead(states={})
        known, stored = await self._known(parts, consistency, running)
        try:
            return await self._read(parts, known, consistency, min_position, running)
        except (HistoryDiverged, PositionNotReached):
            if not stored:
                # A log that was rewritten or cut back. The next attempt reads all of it.
                self._kept.forget()
                raise
        # A stored state may be to blame. It is only a cache: without it, all of the history is read.
        for part in stored:
            known[part] = self._initial(part, running)
        try:
            return await self._read(parts, known, consistency, min_position, running)
        except (HistoryDiverged, PositionNotReached):
            self._kept.forget()
            raise

    async def _read(
        self,
        parts: Sequence[Part[Any]],
        known: dict[Part[Any], KeptState],
        consistency: Consistency,
        min_position: Position | None,
        running: Running,
    ) -> PartsRead:
        events = 0
        while True:
            asked = monotonic()
            streams = await self._store.query_many(
                [part.filter for part in parts],
                after=[known[part].position for part in parts],
                known=[known[part].events for part in parts],
                most=LONGEST_AT_ONCE,
                consistency=consistency,
                min_position=min_position,
            )
            long = []
            for part, stream in zip(parts, streams, strict=True):
                if stream.complete:
                    events += len(stream.events)
                    before = replace(known[part], position=stream.position, read_at=asked)
                    known[part] = self._advanced(part, before, stream.events, running)
                else:
                    long.append(part)
            if not long:
                return PartsRead(states=known, position=streams[0].position, replica=streams[0].replica, events=events)
            for part in long:
                wanted = replace(known[part], read_at=asked)
                known[part] = await self._streamed(part, wanted, streams[0].position, consistency, running)

    def recorded(self, part: Part[Any], before: KeptState, own: Sequence[RecordedEvent], position: Position) -> None:
        """Keep what a part has become by an append of our own, which validated it.

        Args:
            part: The part.
            before: What our append was decided from, events of the same append before ours included.
            own: The part's events that we recorded, under the numbers that they got.
            position: How far the append saw the part.

        Raises:
            Exception: Whatever the view raises.
        """
        state = self._domain.fold(part, before.state, own) if own else before.state
        kept = replace(before, state=state, position=position, events=before.events + len(own))
        self._kept.keep(part, self._storage.stored_if_due(part, kept, own[-1] if own else None))

    async def close(self) -> None:
        """End long reads, and wait a little for states that are being stored."""
        for task in self._streaming.values():
            task.cancel()
        await asyncio.gather(*self._streaming.values(), self._storage.close(), return_exceptions=True)

    async def _known(
        self, parts: Sequence[Part[Any]], consistency: Consistency, running: Running
    ) -> tuple[dict[Part[Any], KeptState], list[Part[Any]]]:
        """Return what is known of each part without reading events, and the parts that it was stored of."""
        known: dict[Part[Any], KeptState] = {}
        cold = []
        for part in parts:
            kept = self._kept.find(part)
            if kept is None and part.view.stored_every is not None:
                cold.append(part)
            known[part] = kept if kept is not None else self._initial(part, running)
        stored = await self._storage.load(cold, consistency) if cold else {}
        known.update(stored)
        return known, list(stored)

    def _initial(self, part: Part[Any], running: Running) -> KeptState:
        with running():
            return KeptState(state=part.initial())

    def _advanced(
        self, part: Part[Any], kept: KeptState, events: Sequence[RecordedEvent], running: Running
    ) -> KeptState:
        """Fold the events up to a state's new position, and keep it."""
        if events:
            with running():
                state = self._domain.fold(part, kept.state, events)
            kept = replace(kept, state=state, events=kept.events + len(events))
            kept = self._storage.stored_if_due(part, kept, events[-1])
        self._kept.keep(part, kept)
        return kept

    async def _streamed(
        self, part: Part[Any], known: KeptState, up_to: Position, consistency: Consistency, running: Running
    ) -> KeptState:
        """Fold a long history as it comes. Whoever asks for it meanwhile gets the same."""
        task = self._streaming.get(part)
        if task is None:
            task = asyncio.create_task(self._stream(part, known, up_to, consistency, running))
            self._streaming[part] = task
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

    def _ended(self, part: Part[Any], task: asyncio.Task[KeptState]) -> None:
        self._streaming.pop(part, None)
        if not task.cancelled():
            task.exception()  # looked at, if nobody waits for it any more

    async def _stream(
        self, part: Part[Any], known: KeptState, up_to: Position, consistency: Consistency, running: Running
    ) -> KeptState:
        async with self._long_reads:
            found = self._kept.find(part)
            if found is not None and found.position.number >= up_to.number:
                return found
            kept = known
            batch: list[RecordedEvent] = []
            last: RecordedEvent | None = None
            # Whoever answers must be as far as the snapshot was that told of it, in the same history.
            events = self._store.read(
                part.filter,
                after=known.position,
                up_to=up_to.number,
                min_position=up_to,
                consistency=consistency,
            )
            async for event in events:
                batch.append(event)
                if len(batch) == _BREATH:
                    kept, last = self._folded(part, kept, batch, running), batch[-1]
                    batch.clear()
                    await asyncio.sleep(0)
            if batch:
                kept, last = self._folded(part, kept, batch, running), batch[-1]
            kept = self._storage.stored_if_due(part, replace(kept, position=up_to), last)
            self._kept.keep(part, kept)
            return kept

    def _folded(self, part: Part[Any], kept: KeptState, events: Sequence[RecordedEvent], running: Running) -> KeptState:
        with running():
            state = self._domain.fold(part, kept.state, events)
        return replace(kept, state=state, events=kept.events + len(events))
