"""The part reader: brings the states of parts up to date from kept or stored states and new events."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from eventstore import (
    START,
    SUBJECT_FORGOTTEN,
    Consistency,
    EventStore,
    EventStream,
    Held,
    HistoryArchived,
    HistoryDiverged,
    Position,
    PositionNotReached,
    RecordedEvent,
)
from handlers.contained import Contained, Running
from handlers.domain import Domain
from handlers.erasure.forgetting import Sealer
from handlers.erasure.master_key import DataKey, MasterKeys
from handlers.folding import Folding
from handlers.kept_states import KeptState, StateCache
from handlers.long_reads import LongReads
from handlers.part import Part
from handlers.read_states import ReadStates
from handlers.state_storage import StateStorage

__all__ = ["LONGEST_AT_ONCE", "PartReader"]

LONGEST_AT_ONCE = 1000
"""The largest number of events of one part held in memory at once; a longer history is folded as it streams."""


class PartReader:
    """Reads parts of one domain.

    Short histories of several parts are read together, from one snapshot. A long one is read alone.

    Args:
        store: The store that has the events.
        domain: The domain of the parts.
        kept: The cache of states, which is read and updated.
        long_reads: Held during a long read; several readers of a process can share it. None, the default, makes one.
        master: The master keys that wrap the subjects' keys; None only if the domain has no Sensitive fields.

    Attributes:
        long_reads: Reads long histories.
        storage: Stores states that are due.

    Raises:
        InvalidMasterKey: The domain has Sensitive fields, and ``master`` is None.
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
        self._store = store
        self._domain = domain
        self._kept = kept
        self._folding = Folding(store, domain, master)
        self.storage = StateStorage(store, domain)
        self.long_reads = LongReads(
            store,
            domain,
            kept,
            folding=self._folding,
            storage=self.storage,
            one_at_a_time=long_reads if long_reads is not None else asyncio.Lock(),
        )

    async def read(
        self,
        parts: Sequence[Part[Any]],
        *,
        consistency: Consistency,
        min_position: Position | None = None,
        running: Running = Contained,
    ) -> Mapping[Part[Any], KeptState]:
        """Bring the states of parts up to date, and keep them.

        Args:
            parts: The parts, each once.
            consistency: Whether a replica may answer.
            min_position: The position that the states must have reached, in the same history; None for any.
            running: Creates the context for each call of the domain's own code.

        Raises:
            HistoryDiverged: The position of a kept state, or ``min_position``, lies in another history. All kept states
                are dropped.
            PositionNotReached: The log ends before ``min_position``, or before the position of a kept state; then all
                kept states are dropped.
            UnknownEventType, UnreadableEvent: An event has an unknown type or cannot be read, as in
                ``Domain.recorded``.
            Exception: A view raised an error.
        """
        known: dict[Part[Any], KeptState] = {}
        while parts:
            seen = await self.read_once(
                parts, consistency=consistency, min_position=min_position, running=running, known=known
            )
            for failure in seen.failures.values():
                raise failure
            known.update(seen.states)
            if not seen.long:
                break
            for part, before in seen.long.items():
                known[part] = await self.long_reads.read(
                    part, before, seen.position, consistency=consistency, running=running
                )
        return known

    async def read_once(
        self,
        parts: Sequence[Part[Any]],
        *,
        consistency: Consistency,
        min_position: Position | None = None,
        running: Running = Contained,
        known: Mapping[Part[Any], KeptState] | None = None,
        held: Held | None = None,
    ) -> ReadStates:
        """Read the store once for all parts; fold and keep the states of those with few new events.

        The failure of one part does not affect the others.

        Args:
            parts: The parts, each once.
            consistency: Whether a replica may answer.
            min_position: The position that the states must have reached, in the same history; None for any.
            running: Creates the context for each call of the domain's own code.
            known: States that the caller knows and that may not be kept; by default none.
            held: The store under its lock, if the caller holds the lock; it is read instead of the store. By default
                None.

        Raises:
            HistoryDiverged: The position of a kept state, or ``min_position``, lies in another history. All kept states
                are dropped.
            PositionNotReached: The log ends before ``min_position``, or before the position of a kept state; then all
                kept states are dropped.
            EventStoreError: The store failed, as in ``EventStore.query_many``.
        """
        before: dict[Part[Any], KeptState] = {}
        failures: dict[Part[Any], Exception] = {}
        stored = await self._known(
            parts, known or {}, before=before, failures=failures, consistency=consistency, running=running
        )
        try:
            return await self._read_once(before, failures, consistency, min_position, running, held=held)
        except (HistoryDiverged, PositionNotReached) as error:
            if isinstance(error, PositionNotReached) and _is_furthest(min_position, before.values()):
                # No known state lies further: the request itself was for more than there is, and the known states may
                # be right.
                raise
            if not stored:
                # The log was rewritten or truncated. The next attempt reads all of it.
                self._kept.forget()
                raise
        # A stored state may be the cause. It is only a cache: without it, the whole history is read.
        for part in stored:
            before[part] = self._folding.begun(part, running)
        try:
            return await self._read_once(before, failures, consistency, min_position, running, held=held)
        except (HistoryDiverged, PositionNotReached):
            self._kept.forget()
            raise

    async def _read_once(
        self,
        before: Mapping[Part[Any], KeptState],
        failures: dict[Part[Any], Exception],
        consistency: Consistency,
        min_position: Position | None,
        running: Running,
        *,
        held: Held | None,
    ) -> ReadStates:
        asked = monotonic()
        before = dict(before)
        streams: Sequence[EventStream] | None = None
        while streams is None:
            try:
                streams = await self._streams(before, consistency, min_position, held)
            except HistoryArchived as error:
                self._set_aside(error, before, failures, running)
        parts = list(before)
        if self._domain.sensitive and (
            anew := [
                part
                for part, stream in zip(parts, streams, strict=True)
                if self._folding.may_show_forgotten(part, before[part])
                and any(event.type == SUBJECT_FORGOTTEN for event in stream.events)
            ]
        ):
            # Folded again, without the values that can no longer be opened; all parts from one snapshot.
            begun = {**before, **{part: self._folding.begun(part, running) for part in anew}}
            return await self._read_once(begun, failures, consistency, min_position, running, held=held)
        keys = await self._folding.keys_of([event for stream in streams for event in stream.events])
        sealers = await self._folding.sealers(before, streams)
        states: dict[Part[Any], KeptState] = {}
        long: dict[Part[Any], KeptState] = {}
        events: dict[Part[Any], int] = {}
        for (part, known), stream in zip(before.items(), streams, strict=True):
            if not stream.complete:
                long[part] = replace(known, read_at=asked, replica=stream.replica)
                continue
            events[part] = len(stream.events)
            kept = replace(known, position=stream.position, read_at=asked, replica=stream.replica)
            try:
                states[part] = self._advanced(part, kept, stream.events, running, keys=keys, sealer=sealers.get(part))
            except Exception as bug:  # noqa: BLE001  an error of a view concerns its own part only
                failures[part] = bug
        first = streams[0] if streams else None
        return ReadStates(
            states=states,
            failures=failures,
            long=long,
            position=first.position if first is not None else START,
            replica=first is not None and first.replica,
            events=events,
        )

    async def _streams(
        self,
        before: Mapping[Part[Any], KeptState],
        consistency: Consistency,
        min_position: Position | None,
        held: Held | None,
    ) -> Sequence[EventStream]:
        """Read what is new for each known state, all from one snapshot."""
        filters = [self._domain.sensitive.watched(part) for part in before]
        after = [kept.position for kept in before.values()]
        known = [kept.events for kept in before.values()]
        if held is not None:
            return await held.query_many(filters, after=after, known=known, most=LONGEST_AT_ONCE)
        return await self._store.query_many(
            filters,
            after=after,
            known=known,
            most=LONGEST_AT_ONCE,
            consistency=consistency,
            min_position=min_position,
        )

    def _set_aside(
        self,
        error: HistoryArchived,
        before: dict[Part[Any], KeptState],
        failures: dict[Part[Any], Exception],
        running: Running,
    ) -> None:
        """Exclude the parts whose events may be archived. The others of the same question can still be read.

        A state whose position is archived cannot be continued. Its part is read from the beginning, in case none of its
        events are archived.

        Raises:
            HistoryArchived: The error concerns no part in particular.
        """
        if not error.places:
            raise error
        parts = list(before)
        for part in [parts[place] for place in error.places]:
            if before[part].position == START:
                failures[part] = error
                del before[part]
                continue
            try:
                before[part] = self._folding.begun(part, running)
            except Exception as bug:  # noqa: BLE001  an error of a view concerns its own part only
                failures[part] = bug
                del before[part]

    async def close(self) -> None:
        """Cancel long reads, and wait up to one second for states that are being stored."""
        await asyncio.gather(self.long_reads.close(), self.storage.close(), return_exceptions=True)

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
        """Find the known state of each part without reading events; return the parts whose state was stored."""
        cold = []
        for part in parts:
            kept = (known.get(part) if known else None) or self._kept.find(part)
            if kept is not None:
                before[part] = kept
                continue
            try:
                before[part] = self._folding.begun(part, running)
            except Exception as bug:  # noqa: BLE001  an error of a view concerns its own part only
                failures[part] = bug
            else:
                if part.view.stored_every is not None:
                    cold.append(part)
        stored = await self.storage.load(cold, consistency) if cold else {}
        before.update(stored)
        return list(stored)

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
            kept, last = self._folding.folded(part, kept, events, running, keys)
            kept = self.storage.stored_if_due(part, kept, last)
        if sealer is not None:
            kept = replace(kept, state=sealer)
        self._kept.keep(part, kept)
        return kept


def _is_furthest(asked: Position | None, known: Iterable[KeptState]) -> bool:
    return asked is not None and all(kept.position.number < asked.number for kept in known)
