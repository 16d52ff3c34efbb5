"""State storage: states of views beside the log, so that whoever starts need not fold all of a long history."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from eventstore import Consistency, EventStore, EventStoreError, RecordedEvent, StateKey, StoredState
from handlers.domain import Domain
from handlers.errors import DamagedState
from handlers.kept_states import KeptState
from handlers.part import Part

__all__ = ["StateStorage"]

_log = logging.getLogger(__name__)


class StateStorage:
    """Stores and loads the states of those views that ask for it. They are a cache: nobody waits for them to be stored.

    Args:
        store: Where they are stored.
        domain: Whose views they are of.
    """

    def __init__(self, store: EventStore, domain: Domain) -> None:
        self._store = store
        self._domain = domain
        self._writing: set[asyncio.Task[None]] = set()
        self._unwritable: set[str] = set()

    async def load(self, parts: Sequence[Part[Any]], consistency: Consistency) -> dict[Part[Any], KeptState]:
        """Look up what is stored of parts. What cannot be read back is passed over.

        Raises:
            EventStoreError: As ``EventStore.stored_states``.
        """
        found = await self._store.stored_states([self._key(part) for part in parts], consistency=consistency)
        return {
            part: kept
            for part, stored in zip(parts, found, strict=True)
            if stored is not None and (kept := self._read_back(part, stored)) is not None
        }

    def stored_if_due(self, part: Part[Any], kept: KeptState, last: RecordedEvent | None) -> KeptState:
        """Have the state stored if its view asks for it by now. Nobody waits for that: it is a cache."""
        every = part.view.stored_every
        if every is None or kept.events - kept.stored < every or part.view.name in self._unwritable:
            return kept
        task = asyncio.create_task(self._write(part, kept, last))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return replace(kept, stored=kept.events)

    async def _write(self, part: Part[Any], kept: KeptState, last: RecordedEvent | None) -> None:
        # In a thread: to write a large state, and to read it back, takes longer than others should wait.
        data = await asyncio.to_thread(self._domain.codec(part.view).write, part, kept.state, last)
        if data is None:
            if part.view.name not in self._unwritable:
                # Said once: it would be so for every key.
                self._unwritable.add(part.view.name)
                _log.warning("states of the view %s are not stored: what is read back is not the same", part.view.name)
            return
        try:
            await self._store.store_state(
                StoredState(key=self._key(part), position=kept.position, state=data, events=kept.events)
            )
        except EventStoreError as error:
            _log.warning("the state of %s was not stored: %s", part, error)

    async def close(self) -> None:
        """Wait until every state that is being stored is stored."""
        await asyncio.gather(*self._writing, return_exceptions=True)

    def _key(self, part: Part[Any]) -> StateKey:
        identity = part.identity
        return StateKey(
            domain=self._domain.name,
            view=identity.view,
            version=identity.version,
            key=identity.key,
            filter_digest=identity.filter_digest,
        )

    def _read_back(self, part: Part[Any], stored: StoredState) -> KeptState | None:
        try:
            state = self._domain.codec(part.view).read(stored.state)
        except DamagedState as error:
            _log.warning("the stored state of %s is passed over: %s", part, error)
            return None
        return KeptState(state=state, position=stored.position, events=stored.events, stored=stored.events)
