"""Folding: turns the events read for parts into states, with all sealed values that can still be opened."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from eventstore import START, SUBJECT_FORGOTTEN, EventStore, EventStream, RecordedEvent, Subject
from handlers.contained import Running
from handlers.domain import Domain
from handlers.erasure.forgetting import Sealer, subject_of
from handlers.erasure.master_key import DataKey, MasterKeys
from handlers.erasure.sealing import SEALED, opened
from handlers.erasure.subject_keys import SubjectKeys
from handlers.kept_states import KeptState
from handlers.part import Part

__all__ = ["NO_KEYS", "Folding"]

NO_KEYS: Mapping[UUID, DataKey] = MappingProxyType({})


class Folding:
    """Folds the events of one domain's parts.

    Args:
        store: The store that has the subjects' keys.
        domain: The domain of the parts.
        master: The master keys that wrap the subjects' keys; None only if the domain has no Sensitive fields.

    Raises:
        InvalidMasterKey: The domain has Sensitive fields, and ``master`` is None.
    """

    def __init__(self, store: EventStore, domain: Domain, master: MasterKeys | None) -> None:
        self._domain = domain
        self._keys = SubjectKeys.of(store, domain, master)

    def begun(self, part: Part[Any], running: Running) -> KeptState:
        """Return a part's state before any event.

        Args:
            part: The part.
            running: Creates the context for each call of the domain's own code.

        Raises:
            Exception: The view's ``initial`` raised an error.
        """
        with running():
            return KeptState(state=part.initial())

    def folded(
        self,
        part: Part[Any],
        kept: KeptState,
        events: Sequence[RecordedEvent],
        running: Running,
        keys: Mapping[UUID, DataKey],
    ) -> tuple[KeptState, RecordedEvent | None]:
        """Fold the events that were read for a part; return its new state, and the last event or None.

        Args:
            part: The part.
            kept: The part's state before the events.
            events: The events that were read for the part, including those that forget subjects of values in its state.
            running: Creates the context for each call of the domain's own code.
            keys: The keys for these events, as returned by ``keys_of``.

        Raises:
            UnknownEventType, UnreadableEvent: An event has an unknown type or cannot be read, as in
                ``Domain.recorded``.
            Exception: The view raised an error.
        """
        if self._keys is not None:
            # Events that forget subjects have served their purpose; the part's own filter may match them as well.
            own = (event for event in events if event.type != SUBJECT_FORGOTTEN or part.filter.holds(event))
            events = [opened(event, keys)[0] if SEALED in event.metadata else event for event in own]
        if not events:
            return kept, None
        with running():
            state = self._domain.fold(part, kept.state, events)
        return replace(kept, state=state, events=kept.events + len(events)), events[-1]

    def may_show_forgotten(self, part: Part[Any], kept: KeptState) -> bool:
        """Whether a state may show values of subjects that the new events of its part forget."""
        return kept.position != START and self._domain.sensitive.are_read_by(part)

    async def keys_of(
        self, events: Iterable[RecordedEvent], known: Mapping[UUID, DataKey] = NO_KEYS
    ) -> Mapping[UUID, DataKey]:
        """Return the keys of sealed values in events; to be called after the events were read.

        The key of a subject that was forgotten before the call is missing.

        Args:
            events: The events.
            known: Keys that were looked up after these events were recorded; by default none.

        Raises:
            EventStoreError: The keys could not be looked up, as in ``SubjectKeys.for_opening``.
        """
        return known if self._keys is None else await self._keys.for_opening(events, known)

    async def sealers(
        self, before: Mapping[Part[Any], KeptState], streams: Sequence[EventStream]
    ) -> dict[Part[Any], Sealer]:
        """Return new states for the parts that are sealers and have new events or no key yet.

        Args:
            before: The states of the parts before the events.
            streams: The stream that was read for each part since, in the same order.

        Raises:
            EventStoreError: The keys could not be looked up or created, as in ``SubjectKeys.for_sealing``.
        """
        if self._keys is None:
            return {}
        wanted: dict[Subject, Part[Any]] = {}
        for (part, kept), stream in zip(before.items(), streams, strict=True):
            subject = subject_of(part)
            if subject is not None and (stream.events or kept.state.key is None):
                wanted[subject] = part
        found = await self._keys.for_sealing(wanted) if wanted else {}
        return {wanted[subject]: Sealer(key=key) for subject, key in found.items()}
