"""The part reader: brings the states of parts up to date, from what is kept or stored and what has come since."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from time import monotonic
from types import MappingProxyType
from typing import Any, Protocol
from uuid import UUID

from msgspec.structs import replace

from eventstore import (
    START,
    SUBJECT_FORGOTTEN,
    Consistency,
    EventStore,
    EventStoreError,
    EventStream,
    Held,
    HistoryDiverged,
    Position,
    PositionNotReached,
    RecordedEvent,
    StoreUnavailable,
    Subject,
)
from handlers.contained import Contained
from handlers.domain import Domain
from handlers.erasure.forgetting import Sealer, subject_of
from handlers.erasure.master_key import DataKey, MasterKeys
from handlers.erasure.sealing import SEALED, opened
from handlers.erasure.subject_keys import SubjectKeys
from handlers.kept_states import KeptState
from handlers.part import Part
from handlers.state_storage import StateStorage

__all__ = ["LONGEST_AT_ONCE", "Glance", "PartReader", "PartsRead", "Running", "StateCache"]

LONGEST_AT_ONCE = 1000
"""How many events of one part are held in memory at once; a longer history is folded as it streams."""

# How many events are folded without a pause: others on the loop wait for so long.
_BREATH = 50
_NO_KEYS: Mapping[UUID, DataKey] = MappingProxyType({})

Running = Callable[[], AbstractContextManager[None]]
"""Entered whenever a domain's own code runs."""


class StateCache(Protocol):
    """What is known of parts, and what is learned."""

    def find(self, part: Part[Any]) -> KeptState | None:
        """Return what is kept of a part."""

    def keep(self, part: Part[Any], kept: KeptState) -> None:
        """Keep a part's state, unless a newer one is kept already."""

    def forget(self) -> None:
        """Forget everything."""


class _ShowsForgotten(Exception):
    """Raised by ``PartReader._read_on``."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What one look at the store brought.

    Attributes:
        states: The parts that are up to date, with their states.
        failures: The parts whose events or states cannot be made sense of, and why.
        long: The parts of which more is new than is held in memory at once, with what is known of them before.
        position: How far the log was.
        replica: Whether a replica answered.
        events: How many events of a part were read.
    """

    states: Mapping[Part[Any], KeptState]
    failures: Mapping[Part[Any], Exception]
    long: Mapping[Part[Any], KeptState]
    position: Position
    replica: bool
    events: Mapping[Part[Any], int]


class PartReader:
    """Reads parts of one domain.

    A short history is read together with those of the other parts, from one snapshot. A long one is read by itself and
    folded as it comes, one at a time, whoever asks for it; whoever wants the same part waits for that read.

    Args:
        store: Where the events are.
        domain: Whose parts they are.
        kept: What is known already, and what is learned.
        long_reads: Held during a long read; several readers of a process share one.
        master: What the keys of subjects are wrapped by, if the domain has Sensitive fields.

    Raises:
        InvalidMasterKey: The domain has Sensitive fields, and there is none.
    """

    def __init__(
        self,
        store: EventStore,
        domain: Domain,
        kept: StateCache,
        *,
        long_reads: asyncio.Lock | None = None,
        master: MasterKeys | None = None,
    ) -> None:
        self._keys = SubjectKeys.of(store, domain, master)
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
        running: Running = Contained,
    ) -> PartsRead:
        """Bring the states of parts up to date, and keep them.

        Args:
            parts: Which, each once.
            consistency: Whether a replica may answer.
            min_position: The states must be at least this far, in the same history.
            running: Entered whenever the domain's own code runs.

        Raises:
            HistoryDiverged: What is kept or asked for lies in another history. Everything kept is forgotten.
            PositionNotReached: The log ends before what is kept, and everything kept is forgotten; or before what is
                asked for.
            UnknownEventType, UnreadableEvent: As ``Domain.recorded``.
            Exception: Whatever a view raises.
        """
        events = 0
        known: dict[Part[Any], KeptState] = {}
        while parts:
            seen = await self.glance(
                parts, consistency=consistency, min_position=min_position, running=running, known=known
            )
            for failure in seen.failures.values():
                raise failure
            events += sum(seen.events.values())
            known.update(seen.states)
            if not seen.long:
                return PartsRead(states=known, position=seen.position, replica=seen.replica, events=events)
            for part, before in seen.long.items():
                known[part] = await self.stream(part, before, seen.position, consistency=consistency, running=running)
        return PartsRead(states={})

    async def glance(
        self,
        parts: Sequence[Part[Any]],
        *,
        consistency: Consistency,
        min_position: Position | None = None,
        running: Running = Contained,
        known: Mapping[Part[Any], KeptState] | None = None,
        held: Held | None = None,
    ) -> Glance:
        """Look at the store once, for all parts, and bring up to date what little is needed for; keep that.

        A part that fails leaves the others as they are.

        Args:
            parts: Which, each once.
            consistency: Whether a replica may answer.
            min_position: The states must be at least this far, in the same history.
            running: Entered whenever the domain's own code runs.
            known: What is known of parts already, where it is not kept.
            held: The store's lock, if the caller holds it: it is asked instead of the store.

        Raises:
            HistoryDiverged: What is kept or asked for lies in another history. Everything kept is forgotten.
            PositionNotReached: The log ends before what is kept, and everything kept is forgotten; or before what is
                asked for.
            EventStoreError: As ``EventStore.query_many``.
        """
        before: dict[Part[Any], KeptState] = {}
        failures: dict[Part[Any], Exception] = {}
        stored = await self._known(
            parts, known or {}, before=before, failures=failures, consistency=consistency, running=running
        )
        try:
            return await self._glance(before, failures, consistency, min_position, running, held=held)
        except (HistoryDiverged, PositionNotReached) as error:
            if isinstance(error, PositionNotReached) and _is_furthest(min_position, before.values()):
                # What is known lies no further: it was asked for more than there is, and nothing known is to blame.
                raise
            if not stored:
                # A log that was rewritten or cut back. The next attempt reads all of it.
                self._kept.forget()
                raise
        # A stored state may be to blame. It is only a cache: without it, all of the history is read.
        for part in stored:
            before[part] = self._initial(part, running)
        try:
            return await self._glance(before, failures, consistency, min_position, running, held=held)
        except (HistoryDiverged, PositionNotReached):
            self._kept.forget()
            raise

    async def _glance(
        self,
        before: Mapping[Part[Any], KeptState],
        failures: dict[Part[Any], Exception],
        consistency: Consistency,
        min_position: Position | None,
        running: Running,
        *,
        held: Held | None,
    ) -> Glance:
        asked = monotonic()
        parts = list(before)
        filters = [self._domain.sensitive.watched(part) for part in parts]
        after = [before[part].position for part in parts]
        known = [before[part].events for part in parts]
        if held is not None:
            streams = await held.query_many(filters, after=after, known=known, most=LONGEST_AT_ONCE)
        else:
            streams = await self._store.query_many(
                filters,
                after=after,
                known=known,
                most=LONGEST_AT_ONCE,
                consistency=consistency,
                min_position=min_position,
            )
        if anew := [
            part for part, stream in zip(parts, streams, strict=True) if self._shows_forgotten(part, before, stream)
        ]:
            # Folded anew, from what can still be opened; and all from one snapshot.
            begun = {**before, **{part: self._initial(part, running) for part in anew}}
            return await self._glance(begun, failures, consistency, min_position, running, held=held)
        # After the read: whoever is forgotten in it has no key any more.
        keys = await self._keys_of([event for stream in streams for event in stream.events])
        sealers = await self._sealers(before, streams)
        states: dict[Part[Any], KeptState] = {}
        long: dict[Part[Any], KeptState] = {}
        events: dict[Part[Any], int] = {}
        for part, stream in zip(parts, streams, strict=True):
            if not stream.complete:
                long[part] = replace(before[part], read_at=asked, replica=stream.replica)
                continue
            events[part] = len(stream.events)
            kept = replace(before[part], position=stream.position, read_at=asked, replica=stream.replica)
            try:
                states[part] = self._advanced(part, kept, stream.events, running, keys=keys, sealer=sealers.get(part))
            except Exception as bug:  # noqa: BLE001  whatever a view raises, it is that part's alone
                failures[part] = bug
        first = streams[0] if streams else None
        return Glance(
            states=states,
            failures=failures,
            long=long,
            position=first.position if first is not None else START,
            replica=first is not None and first.replica,
            events=events,
        )

    def validated(self, part: Part[Any], kept: KeptState, last: RecordedEvent | None) -> KeptState:
        """Have a state stored if its view asks for it by now.

        Args:
            part: The part.
            kept: What it has become by an append that validated it.
            last: The last event that it is folded from, if that is at hand.

        Returns:
            The state, as it is to be kept.
        """
        return self._storage.stored_if_due(part, kept, last)

    async def close(self) -> None:
        """End long reads, and wait a little for states that are being stored."""
        for task in self._streaming.values():
            task.cancel()
        await asyncio.gather(*self._streaming.values(), self._storage.close(), return_exceptions=True)

    async def _known(
        self,
        parts: Sequence[Part[Any]],
        known: Mapping[Part[Any], KeptState],
        *,
        before: dict[Part[Any], KeptState],
        failures: dict[Part[Any], Exception],
        consistency: Consistency,
        running: Running,
    ) -> list[Part[Any]]:
        """Note what is known of each part without reading events; return the parts whose state was stored."""
        cold = []
        for part in parts:
            kept = known.get(part) or self._kept.find(part)
            if kept is not None:
                before[part] = kept
                continue
            try:
                before[part] = self._initial(part, running)
            except Exception as bug:  # noqa: BLE001  whatever a view raises, it is that part's alone
                failures[part] = bug
            else:
                if part.view.stored_every is not None:
                    cold.append(part)
        stored = await self._storage.load(cold, consistency) if cold else {}
        before.update(stored)
        return list(stored)

    def _initial(self, part: Part[Any], running: Running) -> KeptState:
        with running():
            return KeptState(state=part.initial())

    def _advanced(
        self,
        part: Part[Any],
        kept: KeptState,
        events: Sequence[RecordedEvent],
        running: Running,
        *,
        keys: Mapping[UUID, DataKey],
        sealer: Sealer | None,
    ) -> KeptState:
        """Fold the events up to a state's new position, and keep it."""
        if events:
            kept, last = self._folded(part, kept, events, running, keys)
            kept = self._storage.stored_if_due(part, kept, last)
        if sealer is not None:
            kept = replace(kept, state=sealer)
        self._kept.keep(part, kept)
        return kept

    def _shows_forgotten(self, part: Part[Any], before: Mapping[Part[Any], KeptState], stream: EventStream) -> bool:
        """Whether a state was folded from values whose subject is forgotten in what is new of it."""
        if before[part].position == START or not self._domain.sensitive.are_read_by(part):
            return False
        return any(event.type == SUBJECT_FORGOTTEN for event in stream.events)

    async def _keys_of(
        self, events: Iterable[RecordedEvent], known: Mapping[UUID, DataKey] = _NO_KEYS
    ) -> Mapping[UUID, DataKey]:
        return known if self._keys is None else await self._keys.for_opening(events, known)

    async def _sealers(
        self, before: Mapping[Part[Any], KeptState], streams: Sequence[EventStream]
    ) -> dict[Part[Any], Sealer]:
        """Ask for the keys that are to seal and are not known, or were until their subject was forgotten."""
        if self._keys is None:
            return {}
        wanted: dict[Subject, Part[Any]] = {}
        for (part, kept), stream in zip(before.items(), streams, strict=True):
            subject = subject_of(part)
            if subject is not None and (stream.events or kept.state.key is None):
                wanted[subject] = part
        found = await self._keys.for_sealing(wanted) if wanted else {}
        return {wanted[subject]: Sealer(key=key) for subject, key in found.items()}

    async def stream(
        self,
        part: Part[Any],
        known: KeptState,
        up_to: Position,
        *,
        consistency: Consistency,
        running: Running = Contained,
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
            try:
                kept, last = await self._read_on(part, known, up_to, consistency, running)
            except _ShowsForgotten:
                begun = replace(self._initial(part, running), read_at=known.read_at, replica=known.replica)
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
        may_show = known.position != START and self._domain.sensitive.are_read_by(part)
        keys: Mapping[UUID, DataKey] = _NO_KEYS
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
                keys = await self._keys_of(batch, keys)
                kept, last = self._folded(part, kept, batch, running, keys)
                batch.clear()
                await asyncio.sleep(0)
        if batch:
            keys = await self._keys_of(batch, keys)
            kept, last = self._folded(part, kept, batch, running, keys)
        return kept, last

    def _folded(
        self,
        part: Part[Any],
        kept: KeptState,
        events: Sequence[RecordedEvent],
        running: Running,
        keys: Mapping[UUID, DataKey],
    ) -> tuple[KeptState, RecordedEvent | None]:
        if self._keys is not None:
            # What was read together with the part's own events has told what it had to.
            own = (event for event in events if event.type != SUBJECT_FORGOTTEN or part.filter.holds(event))
            events = [opened(event, keys)[0] if SEALED in event.metadata else event for event in own]
        if not events:
            return kept, None
        with running():
            state = self._domain.fold(part, kept.state, events)
        return replace(kept, state=state, events=kept.events + len(events)), events[-1]


def _is_furthest(asked: Position | None, known: Iterable[KeptState]) -> bool:
    return asked is not None and all(kept.position.number < asked.number for kept in known)
