"""State storage: stores states of views beside the log, so that a new process need not fold long histories again."""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from eventstore import Consistency, EventStore, EventStoreError, RecordedEvent, StateKey, StoredState
from handlers.domain import Domain
from handlers.errors import DamagedState
from handlers.kept_states import KeptState, state_size
from handlers.part import Part
from handlers.state_checksum import checked, with_checksum

__all__ = ["StateStorage"]

_log = logging.getLogger(__name__)

# The largest number of parts that wait to be stored.
_MOST_DUE = 1000
# After this number of states of a view that could not be stored, no more are tried.
_MOST_REFUSED = 10
# The largest size of a state in memory: writing and reading one blocks the whole process, longer for larger states.
_LARGEST_BYTES = 128 * 1024**2
_CLOSE_SECONDS = 1.0


class StateStorage:
    """Stores and loads the states of views that request it. They are a cache: no operation waits until they are stored.

    Args:
        store: The store that keeps the states.
        domain: The domain of the views.
    """

    def __init__(self, store: EventStore, domain: Domain) -> None:
        self._store = store
        self._domain = domain
        self._due: OrderedDict[Part[Any], tuple[KeptState, RecordedEvent | None]] = OrderedDict()
        self._writer: asyncio.Task[None] | None = None
        self._refused: Counter[str] = Counter()

    async def load(self, parts: Sequence[Part[Any]], consistency: Consistency) -> dict[Part[Any], KeptState]:
        """Load the stored states of parts. States that cannot be read back are ignored.

        Raises:
            EventStoreError: The store failed, as in ``EventStore.stored_states``.
        """
        found = await self._store.stored_states([self._key(part) for part in parts], consistency=consistency)
        return {
            part: kept
            for part, stored in zip(parts, found, strict=True)
            if stored is not None and (kept := self._read_back(part, stored)) is not None
        }

    def stored_if_due(self, part: Part[Any], kept: KeptState, last: RecordedEvent | None) -> KeptState:
        """Queue the state for storing if its view requests that by now. The call does not wait for it."""
        every = part.view.stored_every
        if every is None or kept.events - kept.stored < every or self._refused[part.view.name] >= _MOST_REFUSED:
            return kept
        # If several states of one part wait, only the latest is worth storing.
        self._due.pop(part, None)
        self._due[part] = kept, last
        if len(self._due) > _MOST_DUE:
            self._due.popitem(last=False)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all())
        return replace(kept, stored=kept.events)

    async def close(self) -> None:
        """Wait up to one second for the state that is being stored, and discard the others: they are only a cache."""
        if self._writer is None:
            return
        done, _ = await asyncio.wait([self._writer], timeout=_CLOSE_SECONDS)
        if not done:
            self._due.clear()
            self._writer.cancel()
            await asyncio.wait([self._writer])

    async def _write_all(self) -> None:
        # One at a time: encoding states uses the same CPU as deciding.
        try:
            while self._due:
                part, (kept, last) = self._due.popitem(last=False)
                await self._write(part, kept, last)
        finally:
            self._writer = None

    async def _write(self, part: Part[Any], kept: KeptState, last: RecordedEvent | None) -> None:
        if state_size(kept.state) > _LARGEST_BYTES:
            self._refuse(part, f"it holds more than {_LARGEST_BYTES // 1024**2} MB")
            return
        # In a thread: encoding and reading back a large state takes longer than other tasks should wait.
        data = await asyncio.to_thread(self._domain.codec(part.view).write, part, kept.state, last)
        if data is None:
            self._refuse(part, "read back, it would not be the same")
            return
        key = self._key(part)
        data = with_checksum(key, kept.position, kept.events, data)
        try:
            await self._store.store_state(
                StoredState(
                    key=key,
                    position=kept.position,
                    state=data,
                    events=kept.events,
                    sensitive=self._domain.sensitive.are_read_by(part),
                )
            )
        except EventStoreError as error:
            _log.warning("the state of %s was not stored: %s", part, error)

    def _refuse(self, part: Part[Any], why: str) -> None:
        name = part.view.name
        if not self._refused[name]:  # logged once for each view
            _log.warning("the state of %s is not stored: %s", part, why)
        self._refused[name] += 1

    def _key(self, part: Part[Any]) -> StateKey:
        identity = part.identity
        return StateKey(
            domain=self._domain.name,
            view=identity.view,
            version=identity.version,
            key=identity.key,
            filter_digest=self._domain.state_digest(part),
        )

    def _read_back(self, part: Part[Any], stored: StoredState) -> KeptState | None:
        try:
            state = self._domain.codec(part.view).read(checked(stored))
        except DamagedState as error:
            _log.warning("the stored state of %s is ignored: %s", part, error)
            return None
        return KeptState(state=state, position=stored.position, events=stored.events, stored=stored.events)
